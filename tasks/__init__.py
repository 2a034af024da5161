"""What is asked, and what is right: tasks, their oracles, and the transcript. Knows no model."""

from tasks.apps import Apps, failing_references
from tasks.grading import Grade, TestResult, grade, grade_many
from tasks.minicode.problems import MiniCode
from tasks.programming import (
    Mutant,
    Problem,
    Simplicity,
    extract_program,
    load_problems,
    programming_prompt,
    programming_transcript,
    rank_tests,
    save_problems,
)
from tasks.qa import QAItem, parse_answer, qa_prompt, qa_response, qa_transcript, quote_verified
from tasks.quality import Quality
from tasks.readability import readability
from tasks.sandbox import Limits, SandboxError, run_program, sandbox_record
from tasks.stories import MiniQA
from tasks.transcript import (
    Transcript,
    from_dataset,
    load_transcripts,
    save_transcripts,
    to_dataset,
    transcript_from_dict,
)

__all__ = [
    "Apps",
    "Grade",
    "Limits",
    "MiniCode",
    "MiniQA",
    "Mutant",
    "Problem",
    "QAItem",
    "Quality",
    "SandboxError",
    "Simplicity",
    "TestResult",
    "Transcript",
    "extract_program",
    "failing_references",
    "from_dataset",
    "grade",
    "grade_many",
    "load_problems",
    "load_transcripts",
    "parse_answer",
    "programming_prompt",
    "programming_transcript",
    "qa_prompt",
    "qa_response",
    "qa_transcript",
    "quote_verified",
    "rank_tests",
    "readability",
    "run_program",
    "sandbox_record",
    "save_problems",
    "save_transcripts",
    "to_dataset",
    "transcript_from_dict",
]

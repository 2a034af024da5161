"""What is asked, and what is right: tasks, their oracles, and the transcript. Knows no model."""

from tasks.qa import QAItem, parse_answer, qa_prompt, qa_response, qa_transcript, quote_verified
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
    "MiniQA",
    "QAItem",
    "Transcript",
    "from_dataset",
    "load_transcripts",
    "parse_answer",
    "qa_prompt",
    "qa_response",
    "qa_transcript",
    "quote_verified",
    "save_transcripts",
    "to_dataset",
    "transcript_from_dict",
]

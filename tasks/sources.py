"""Which file makes which dataset."""

from __future__ import annotations

from tasks.dataset import Course, CourseSpec
from tasks.programming_dataset import open_code_course
from tasks.qa_dataset import open_qa_course


def open_course(spec: CourseSpec) -> Course:
    """Make or read the items of a course.

    Raises:
        FileNotFoundError: real text is asked for and ``SOPHISTRY_DATA`` does not hold it.
        ValueError: QuALITY holds fewer items than asked for, or nothing of APPS can be taught.
    """
    return open_code_course(spec) if spec.task == "programming" else open_qa_course(spec)

"""What a program refuses before it starts."""

import pytest

from experiments.program import refuse_processes


def test_a_program_of_several_processes_is_refused_with_where_to_go(monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(ValueError, match=r"2 processes were started.*docs/cluster\.md"):
        refuse_processes()
    monkeypatch.setenv("WORLD_SIZE", "1")
    refuse_processes()

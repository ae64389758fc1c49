"""An error says where, what and what to do, and survives the way between processes."""

from __future__ import annotations

import pickle

from second_look.errors import DataError, MissingDataError, SecondLookError


def test_message_has_place_problem_and_remedy():
    error = DataError("expected 3 tokens. Got 2.", location="Info.txt line 7", remedy="Mend it.")
    assert str(error) == "Info.txt line 7: expected 3 tokens. Got 2. Mend it."
    assert str(DataError("empty.")) == "empty."


def test_errors_travel_between_processes():
    error = pickle.loads(pickle.dumps(MissingDataError("gone.", location="a", remedy="b")))
    assert isinstance(error, SecondLookError)
    assert (str(error), error.location, error.remedy) == ("a: gone. b", "a", "b")

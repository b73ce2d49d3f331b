from secateur.protocol.states import FINAL, MOVES, UNFINISHED, JobState, sources


def test_final_states_have_no_way_out_and_every_other_state_has_one_to_the_end() -> None:
    """A job that can get stuck is a job that some user waits for for ever."""
    reaches_end = set(FINAL)
    while grown := {state for state in JobState if MOVES[state] & reaches_end} - reaches_end:
        reaches_end |= grown

    assert reaches_end == set(JobState)
    assert all(not MOVES[state] for state in FINAL)


def test_every_state_but_the_first_can_be_reached() -> None:
    assert set.union(*map(set, MOVES.values())) | {JobState.QUEUED} == set(JobState)


def test_sources_are_the_moves_read_backwards() -> None:
    for target in JobState:
        assert sources(target) == {state for state in JobState if target in MOVES[state]}
    assert JobState.RUNNING in UNFINISHED

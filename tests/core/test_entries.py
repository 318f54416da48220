from lab_utils.core.entries import RULES, Protocol


def test_what_a_protocol_follows_is_no_setting_of_its_images() -> None:
    """A new order of the protocols, or other words for a change, repeats no training."""
    protocol = Protocol(name="b", title="B", follows="a", change="other words")
    assert {"follows", "change"}.isdisjoint(protocol.model_dump())
    assert {"name", "title"} | RULES == set(protocol.model_dump())

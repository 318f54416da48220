import base64
import hashlib

from lab_utils.reporting.policy import content_policy


def test_a_page_admits_its_own_styles_and_nothing_from_elsewhere() -> None:
    digests = [base64.b64encode(hashlib.sha256(text).digest()).decode() for text in (b"p {}", "“".encode())]
    policy = content_policy(["p {}", "“"])
    assert policy.startswith("default-src 'none'; img-src data:; ")
    assert f"style-src 'sha256-{digests[0]}' 'sha256-{digests[1]}'; " in policy

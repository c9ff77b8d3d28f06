import pickle

from vitrine.client import ApiError


def test_an_error_can_leave_a_worker_process() -> None:
    error = ApiError(429, "rate_limited", "Too many.", "r-1", {"rate": 5}, retry_after_s=2.0)
    copy = pickle.loads(pickle.dumps(error))  # noqa: S301  # what was pickled a moment ago
    assert vars(copy) == vars(error)
    assert (copy.message, str(copy)) == ("Too many.", "429 rate_limited: Too many.")

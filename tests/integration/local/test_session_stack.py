"""The fixtures themselves."""

import numpy as np
import tritonclient.http as triton
from pymilvus import MilvusClient

from tests.fixtures.stack import RunningStack


def test_both_engines_answer_where_the_settings_say(stack: RunningStack) -> None:
    client = triton.InferenceServerClient(stack.settings.triton.url.removeprefix("http://"), network_timeout=10.0)
    ids = triton.InferInput("input_ids", [1, 8], "INT32")
    ids.set_data_from_numpy(np.array([[512, 1, 2, 513, 513, 513, 513, 513]], dtype=np.int32))
    (embedding,) = client.infer("clip_text", [ids]).as_numpy("embedding")
    assert abs(np.linalg.norm(embedding) - 1.0) < 1e-5
    client.close()
    milvus = MilvusClient(stack.settings.milvus.uri, timeout=10.0)
    assert not milvus.has_collection("never_made", timeout=10.0)
    milvus.close()

"""Exact search for people in a collection of Milvus."""

import json
from typing import Any

import numpy as np

from ppface.gallery.milvus_collections import MilvusCollections

HITS, MOST = 64, 1000  # vectors of one answer: four for each wanted person, within these
QUERIES = 32  # in one call: their vectors come back with the answer

Person = tuple[bytes, float, str]  # id, score, id of the image


def nearest(collections: MilvusCollections, where: str, queries: np.ndarray, k: int) -> list[list[Person]]:
    """For each query the k people with the most similar vectors among those of a filter, best first; of equal scores the earlier one.

    Milvus compares with every vector, as the index is FLAT. Scores are computed again in float64, as in `ppface.gallery.vectors.best`,
    within whose bound of the rounding errors every candidate is asked for: people of an answer are left out of the next one, until
    an answer ends below the k-th person.
    """
    limit = min(max(HITS, 4 * k), MOST)
    found: list[list[Person]] = []
    for start in range(0, len(queries), QUERIES):
        some = queries[start : start + QUERIES]
        answers = _search(collections, where, some, limit)
        found += [_people(collections, where, query, hits, k, limit) for query, hits in zip(some, answers, strict=True)]
    return found


def _search(collections: MilvusCollections, where: str, queries: np.ndarray, limit: int) -> list[list[dict[str, Any]]]:
    options = {"limit": limit, "output_fields": ["owner", "uid", "vector"], "search_params": {"metric_type": "IP"}}
    return collections.call(
        "search it", "search", collections.vectors, data=queries.tolist(), filter=where, consistency_level="Strong", **options
    )


def _people(collections: MilvusCollections, where: str, query: np.ndarray, hits: Any, k: int, limit: int) -> list[Person]:
    people: dict[str, tuple[float, int, str]] = {}  # minus the score, the row's id, the image's id
    margin = 2 * len(query) * 2.0**-24
    while True:
        rows = np.array([hit["entity"]["vector"] for hit in hits], np.float32).reshape(len(hits), len(query))
        for hit, score in zip(hits, (rows.astype(np.float64) * query).sum(axis=1), strict=True):
            new = -float(score), hit["id"], hit["entity"]["uid"]
            owner = hit["entity"]["owner"]
            people[owner] = min(people.get(owner, new), new)
        best = sorted(people.items(), key=lambda pair: pair[1])
        if len(hits) < limit or (len(best) >= k and hits[-1]["distance"] < -best[k - 1][1][0] - margin):
            return [(bytes.fromhex(owner), -score, uid) for owner, (score, _, uid) in best[:k]]
        (hits,) = _search(collections, f"{where} and owner not in {json.dumps(list(people))}", query[None], limit)

"""A domain is checked once, reads arrays and stores alike, and refuses what cannot be compared."""

import gc
import weakref

import numpy as np
import pytest
from planted import QUICK, make_directions, make_domain

from probes import Domain, DomainError, TransferResult, sweep, transfer
from probes.evaluation.compatibility import check_compatible

X = np.arange(24, dtype=float).reshape(2, 4, 3)
Y = [0, 1, 0, 1]
GROUPS = ["a", "a", "b", "b"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"X": X[0, 0]}, r"X must be \[layer, row, d\] or \[row, d\]"),
        ({"y": [0, 0, 0, 0]}, "one class only"),
        ({"y": [0, 1, 0, 2]}, "0 or 1"),
        ({"y": [0, 1, 0, np.nan]}, "0 or 1"),
        ({"y": [0, 1, 0]}, "X has 4 rows but y has 3"),
        ({"groups": ["a"]}, "X has 4 rows but groups has 1"),
        ({"texts": ["one"]}, "X has 4 rows but texts has 1"),
        ({"strata": {"letter": ["A"]}}, r"strata\['letter'\] has 1"),
        ({"columns": {"entropy": [0.0, 1.0, np.inf, 2.0]}}, r"columns\['entropy'\] holds NaN or infinite"),
        ({"row_ids": ["1", "2", "2", "3"]}, "duplicates"),
        ({"layers": [0, 1, 2]}, "X has 2 layers but layers names 3"),
        ({"X": np.where(X == 5, np.nan, X)}, "NaN or infinite activations"),
        ({"X": X[:, :0], "y": [], "groups": []}, "non-empty"),
    ],
)
def test_bad_domains_are_refused_with_the_cause(change: dict, message: str) -> None:
    given = {"X": X, "y": Y, "groups": GROUPS} | change
    with pytest.raises(DomainError, match=message) as error:
        Domain("mine", given.pop("X"), given.pop("y"), given.pop("groups"), **given)
    assert str(error.value).startswith("mine: ")


def test_layers_are_named_and_thinned_evenly() -> None:
    domain = Domain("a", np.zeros((30, 4, 2)) + Y_COLUMN, Y, GROUPS, layers=range(1, 31))
    assert domain.layer_names[0] == 1
    assert domain.depths[-1] == 1.0
    thin = domain.thinned(6)
    assert len(thin.layer_names) == 6
    assert set(np.diff(thin.layer_names)) <= {4, 5, 6}
    assert thin.at([2]).layer_names == thin.layer_names[2:3]
    np.testing.assert_array_equal(thin.at([2]).layer(0), domain.layer(thin.layer_names[2] - 1))
    assert domain.thinned(None) is domain


Y_COLUMN = np.arange(30.0)[:, None, None]


def test_torch_activations_of_low_precision_are_read() -> None:
    import torch

    domain = Domain("a", torch.tensor(X).bfloat16(), Y, GROUPS)
    np.testing.assert_array_equal(domain.layer(1), torch.tensor(X[1]).bfloat16().double().numpy())


def test_hash_names_the_content() -> None:
    one, same = Domain("a", X, Y, GROUPS), Domain("b", X.copy(), Y, GROUPS)
    assert one.data_hash == same.data_hash
    for other in (
        Domain("a", X + 1, Y, GROUPS),
        Domain("a", X, Y[::-1], GROUPS),
        Domain("a", X, Y, [*"abcd"]),
    ):
        assert other.data_hash != one.data_hash


def other(**change) -> Domain:
    given = {"X": X + 100, "y": Y, "groups": ["c", "c", "d", "d"], "meta": {}} | change
    return Domain("other", given.pop("X"), given.pop("y"), given.pop("groups"), **given)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"X": X[:, :, :2] + 100}, "width 3 but other of width 2"),
        ({"layers": [3, 4]}, "extract the same layers"),
        ({"meta": {"tokenizer": "x"}}, "tokenizer differs"),
        ({"meta": {"site": "mlp_out"}}, "site differs"),
        ({"meta": {"tokens": "response_last"}}, "tokens differs"),
        ({"meta": {"base_fingerprint": "f"}}, "base_fingerprint differs"),
        ({"X": X}, "leaked target labels: 4 rows of other"),
    ],
)
def test_domains_that_do_not_fit_together_are_refused(change: dict, message: str) -> None:
    meta = {"tokenizer": "t", "site": "resid_post", "tokens": "response_mean", "base_fingerprint": "b"}
    source = Domain("source", X, Y, GROUPS, meta=meta)
    check_compatible(source, [other()])
    with pytest.raises(DomainError, match=message):
        check_compatible(source, [other(**change)])


# Activation stores.


@pytest.fixture(scope="module")
def store():
    """Activations of a tiny random model on 48 texts, half of which hold a word the other half lack."""
    from activations import extract
    from activations.testing import tiny_model

    rows = [
        {
            "id": f"r{i}",
            "group": f"g{i // 4}",
            "prompt": f"Story {i}.",
            "response": "so zzz it is" if i % 2 else "so it is",
        }
        for i in range(48)
    ]
    return extract(tiny_model(), rows, layers=[0, 2], progress=False), rows


def test_store_and_its_array_are_the_same_domain(store) -> None:
    acts, rows = store
    y, groups = [i % 2 for i in range(48)], [row["group"] for row in rows]
    stored = Domain("a", acts, y, groups)
    arrays = Domain("a", np.stack([acts.array(0), acts.array(2)]), y, groups, layers=[0, 2])
    assert stored.layer_names == arrays.layer_names == (0, 2)
    assert stored.width == arrays.width == 16
    for index in range(2):
        np.testing.assert_array_equal(stored.layer(index), arrays.layer(index))
    one, two = (sweep(domain, "mean-difference") for domain in (stored, arrays))
    np.testing.assert_array_equal(one.auroc, two.auroc)
    assert one.layer in (0, 2)


def test_transfer_reads_stores(store) -> None:
    acts, rows = store
    y, groups = [i % 2 for i in range(48)], [row["group"] for row in rows]
    source = Domain("source", acts, y, groups)
    moved = np.stack([acts.array(0), acts.array(2)]) + 0.1
    target = Domain("target", moved, y, [f"t{g}" for g in groups], layers=[0, 2])
    result = transfer(source, target, "mean-difference", options=QUICK)
    assert isinstance(result, TransferResult)
    assert result.domains[0].layers == (0, 2)
    (frozen,) = [e for e in result.evaluations if e.design == "D1"]
    assert frozen.auroc.value > 0.9, "the word is there to be read"


def test_stores_of_several_tokens_per_row_are_refused(store) -> None:
    from activations import extract
    from activations.testing import tiny_model

    _, rows = store
    ragged = extract(tiny_model(), rows[:4], layers=[0], tokens="response_all", progress=False)
    with pytest.raises(DomainError, match="several tokens per row"):
        Domain("a", ragged, Y, GROUPS)


class CountingStore:
    """The reading side of a store, which refuses to have two layers out at a time."""

    ragged = False

    def __init__(self, X: np.ndarray):
        self.X, self.given = X, []
        self.layers, self.d_model = tuple(range(len(X))), X.shape[2]
        self.row_ids = [str(i) for i in range(X.shape[1])]

    def __len__(self) -> int:
        return self.X.shape[1]

    def array(self, layer: int, site: str = "resid_post") -> np.ndarray:
        gc.collect()
        assert all(known() is None for known in self.given), "an earlier layer is still held"
        array = self.X[layer].copy()
        self.given.append(weakref.ref(array))
        return array


def test_only_one_layer_of_a_store_is_in_memory_at_a_time() -> None:
    planted = make_domain("a", 3, make_directions(1, n_layers=6, width=12), n_groups=40)
    store = CountingStore(planted.X)
    found = sweep(Domain("a", store, planted.y, planted.groups), "mean-difference")
    assert len(store.given) >= 6
    np.testing.assert_array_equal(found.auroc, sweep(planted, "mean-difference").auroc)


def test_stores_with_broken_numbers_are_refused_where_they_are_read() -> None:
    planted = make_domain("a", 3, make_directions(1, n_layers=2, width=12), n_groups=40)
    X = planted.X.copy()
    X[1, 5, 3] = np.nan
    domain = Domain("a", CountingStore(X), planted.y, planted.groups)
    with pytest.raises(DomainError, match="layer 1 of the store holds NaN"):
        sweep(domain, "mean-difference")


def test_part_of_a_store_is_the_rows_that_are_asked_for(store) -> None:
    acts, rows = store
    labels = {row["id"]: "false" if i % 2 else "true" for i, row in enumerate(rows)}
    whole = Domain.from_store(acts, labels, positive="false")
    assert whole.groups.tolist() == [row["group"] for row in rows]
    assert whole.y.tolist() == [i % 2 for i in range(48)]
    part = Domain.from_store(acts, labels, positive="false", subset=["r9", "r2", "r5", "r4"])
    assert part.y.tolist() == [1, 0, 1, 0]
    assert part.groups.tolist() == ["g2", "g0", "g1", "g1"]
    np.testing.assert_array_equal(part.layer(1), acts.array(2)[[9, 2, 5, 4]])
    assert part.data_hash != whole.data_hash
    with pytest.raises(DomainError, match="no row 'r99'"):
        Domain.from_store(acts, labels, positive="false", subset=["r99"])
    with pytest.raises(DomainError, match="row 'r2' has no label"):
        Domain.from_store(acts, {"r1": 1, "r0": 0}, subset=["r1", "r2"])


def test_labels_may_be_named() -> None:
    assert Domain("a", X, ["t", "f", "t", "f"], GROUPS, positive="f").y.tolist() == [0, 1, 0, 1]
    with pytest.raises(DomainError, match="needs labels of two values"):
        Domain("a", X, ["t", "f", "t", "u"], GROUPS, positive="f")


def test_statements_extracted_again_are_recognised_by_text_or_tokens(store) -> None:
    acts, _ = store
    rng = np.random.default_rng(0)
    X, y, texts = rng.normal(size=(40, 6)), np.tile([0, 1], 20), [f"statement {i}" for i in range(40)]
    source = Domain("source", X, y, [f"a{i}" for i in range(40)], texts=texts)
    again = X + 1e-3 * rng.normal(size=X.shape)
    target = Domain("target", again, y, [f"b{i}" for i in range(40)], texts=texts)
    with pytest.raises(DomainError, match="40 rows of target are statements of source extracted again"):
        check_compatible(source, [target])
    check_compatible(source, [Domain("target", rng.normal(size=(40, 6)), y, target.groups, texts=texts)])

    class Again:
        """The same store with the rounding of another batch."""

        def __getattr__(self, name: str):
            return getattr(acts, name)

        def __len__(self) -> int:
            return len(acts)

        def array(self, layer: int, site: str = "resid_post") -> np.ndarray:
            return acts.array(layer, site=site) * np.float32(1 + 1e-6)

    labels = np.tile([0, 1], 24)
    stored = Domain("source", acts, labels, [f"a{i}" for i in range(48)])
    with pytest.raises(DomainError, match="extracted again"):
        check_compatible(stored, [Domain("target", Again(), labels, [f"b{i}" for i in range(48)])])


@pytest.mark.parametrize("missing", [None, float("nan")], ids=repr)
def test_a_missing_label_is_no_class_and_names_its_row(store, missing) -> None:
    acts, rows = store
    with pytest.raises(DomainError, match=r"1 of 4 rows have none \(row 2\)"):
        Domain("a", X, ["t", "f", missing, "f"], GROUPS, positive="f")
    with pytest.raises(DomainError, match=r"1 of 4 rows have none \(row 2\)"):
        Domain("a", X, [0, 1, missing, 1], GROUPS)
    labels = {row["id"]: i % 2 for i, row in enumerate(rows)} | {"r3": missing}
    with pytest.raises(DomainError, match=r"\(row 3\)"):
        Domain.from_store(acts, labels)


@pytest.mark.parametrize("labels", [["0", "1"] * 2, ["True", "False"] * 2, ["false", 1] * 2, [0, np.inf] * 2])
def test_texts_and_infinities_are_no_labels(labels) -> None:
    with pytest.raises(DomainError, match="labels must be 0 or 1"):
        Domain("a", X, np.array(labels, dtype=object), GROUPS)


@pytest.mark.parametrize("kind", [np.bool_, np.int8, np.float32, np.uint8, object])
def test_labels_of_any_number_type_are_the_same_labels(kind) -> None:
    assert Domain("a", X, np.array([0, 1, 0, 1]).astype(kind), GROUPS).y.tolist() == [0, 1, 0, 1]


def test_one_text_is_no_list_of_groups() -> None:
    with pytest.raises(DomainError, match="got one text"):
        Domain("a", X, [0, 1, 0, 1], "abcd")


def test_statements_without_groups_are_questions_of_their_own_and_the_domain_says_so(store) -> None:
    from activations import extract
    from activations.testing import tiny_model

    bare = [{"id": i, "prompt": f"The city of T{i} is in France."} for i in range(8)]
    acts = extract(tiny_model(), bare, layers=[0], tokens="last", progress=False)
    assert Domain.from_store(acts, [0, 1] * 4).own_groups
    assert not Domain.from_store(acts, [0, 1] * 4, groups=[i // 2 for i in range(8)]).own_groups
    grouped, rows = store
    assert not Domain.from_store(grouped, {row["id"]: i % 2 for i, row in enumerate(rows)}).own_groups
    for row in (8, -9, 100):
        with pytest.raises(IndexError, match=f"row {row}: this store has 8 rows"):
            acts.tokens_of(row)

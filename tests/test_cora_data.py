"""Cora as shipped: every fact that is said about it, and what happens when the file is not as shipped."""

import importlib.util
import time
import zipfile
from collections import Counter, defaultdict

import networkx as nx
import numpy as np
import pytest

from lab import cora as module
from lab.cora import ARCHIVE, CLASSES, FACTS, CoraFileError, facts, from_arrays, load_cora, read_cora


@pytest.fixture(scope="module")
def cora():
    return load_cora()


@pytest.fixture(scope="module")
def graph(cora):
    graph = nx.Graph()
    graph.add_nodes_from(range(2708))
    graph.add_edges_from(cora.citations.tolist())
    return graph


@pytest.fixture(scope="module")
def twins(cora):
    """The groups of papers with the same words."""
    groups = defaultdict(list)
    for i in range(2708):
        groups[tuple(cora.words[i].indices.tolist())].append(i)
    return [group for group in groups.values() if len(group) > 1]


def arrays_of(path):
    with np.load(path, allow_pickle=False) as archive:
        return {name: archive[name] for name in archive.files}


# --- the words ---


def test_there_are_2708_papers_and_1433_binary_words(cora):
    assert cora.words.shape == (2708, 1433)
    assert set(cora.words.data) == {1.0}
    assert cora.words.has_canonical_format  # no word twice in one paper
    assert len(set(cora.paper.tolist())) == 2708


def test_papers_use_1_to_30_words_and_18_on_average(cora):
    used = np.asarray(cora.words.sum(axis=1)).ravel()
    assert used.sum() == 49_216
    assert (used.min(), used.max()) == (1, 30)
    assert used.mean() == pytest.approx(18.2, abs=0.05)
    assert np.sum(np.asarray(cora.words.sum(axis=0)) == 0) == 1  # one column is used by no paper


# --- the citations ---


def test_5429_citations_are_5278_links(cora, graph):
    assert len(cora.citations) == 5429
    assert graph.number_of_edges() == len(cora.links) == 5278
    reciprocal = Counter(tuple(sorted(pair)) for pair in cora.citations.tolist())
    assert Counter(reciprocal.values()) == {1: 5278 - 151, 2: 151}


def test_no_paper_cites_itself_and_none_is_isolated(cora, graph):
    assert nx.number_of_selfloops(graph) == 0
    degrees = [degree for _, degree in graph.degree]
    assert (min(degrees), max(degrees)) == (1, 168)
    assert np.mean(degrees) == pytest.approx(3.90, abs=0.005)
    assert np.all(cora.links[:, 0] < cora.links[:, 1])


def test_there_are_78_components_and_the_largest_has_2485_papers(graph):
    sizes = sorted((len(component) for component in nx.connected_components(graph)), reverse=True)
    assert len(sizes) == 78
    assert sizes[0] == 2485


def test_81_percent_of_links_join_papers_of_one_class(cora):
    same = cora.label[cora.links[:, 0]] == cora.label[cora.links[:, 1]]
    assert same.mean() == pytest.approx(0.810, abs=0.0005)


def test_the_direction_is_citing_to_cited(cora):
    """The most cited paper (35, Genetic Algorithms) is cited 166 times: a list of references is shorter."""
    cited = Counter(cora.citations[:, 1].tolist())
    position, times = cited.most_common(1)[0]
    assert (int(cora.paper[position]), times) == (35, 166)
    assert CLASSES[cora.label[position]] == "Genetic Algorithms"
    assert max(Counter(cora.citations[:, 0].tolist()).values()) <= 5


# --- the classes and the split ---


def test_classes_have_their_known_sizes_and_names(cora):
    assert np.bincount(cora.label).tolist() == [351, 217, 418, 818, 426, 298, 180]
    assert len(CLASSES) == 7
    assert (CLASSES[0], CLASSES[3], CLASSES[6]) == ("Theory", "Neural Networks", "Rule Learning")


def test_the_public_split_is_140_500_1000_and_disjoint(cora):
    assert [len(part) for part in (cora.train, cora.validation, cora.test)] == [140, 500, 1000]
    assert len(np.unique(np.concatenate([cora.train, cora.validation, cora.test]))) == 1640
    assert np.bincount(cora.label[cora.train]).tolist() == [20] * 7


def test_the_test_papers_have_the_class_counts_of_the_public_release(cora):
    assert np.bincount(cora.label[cora.test]).tolist() == [130, 91, 144, 319, 149, 103, 64]


# --- the blemish ---


def test_27_papers_in_11_groups_share_their_words(twins):
    assert len(twins) == 11
    assert sum(len(group) for group in twins) == 27


def test_ten_groups_are_exact_twins(cora, graph, twins):
    def exact(group):
        return len({(int(cora.label[i]), frozenset(graph[i])) for i in group}) == 1

    assert sum(exact(group) for group in twins) == 10


def test_duplicates_cross_the_split(cora, graph, twins):
    train, validation, test = (set(part.tolist()) for part in (cora.train, cora.validation, cora.test))
    with_validation = [i for g in twins for i in g if i in test and validation & set(g)]
    with_train = [i for g in twins for i in g if i in test and train & set(g)]
    assert (len(with_validation), len(with_train)) == (2, 1)
    (group,) = [g for g in twins if with_train[0] in g]
    assert len({int(cora.label[i]) for i in group}) == 1
    assert len({frozenset(graph[i]) for i in group}) == 2  # the same words and class, other neighbours


# --- loading ---


def test_every_fact_is_counted_and_true(cora):
    assert facts(cora) == FACTS


def test_loading_takes_less_than_50_ms():
    def seconds():
        start = time.process_time()
        read_cora(ARCHIVE)
        return time.process_time() - start

    assert min(seconds() for _ in range(5)) < 0.05


def test_the_archive_is_small_and_holds_no_objects():
    assert ARCHIVE.stat().st_size < 100_000
    assert all(array.dtype.kind in "iu" for array in arrays_of(ARCHIVE).values())


def test_cached_arrays_cannot_be_changed_by_accident(cora):
    assert load_cora() is cora
    with pytest.raises(ValueError, match="read-only"):
        cora.label[0] = 1
    with pytest.raises(ValueError, match="read-only"):
        cora.words.data[0] = 2


# --- building ---


@pytest.fixture(scope="module")
def build():
    spec = importlib.util.spec_from_file_location("build_cora", ARCHIVE.parent / "build_cora.py")
    build = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(build)
    return build


def test_writing_twice_gives_the_same_bytes_and_the_same_data(build, tmp_path):
    arrays = arrays_of(ARCHIVE)
    build.write(arrays, tmp_path / "a.npz")
    time.sleep(2.1)  # zip files store times in steps of two seconds
    build.write(arrays, tmp_path / "b.npz")
    assert (tmp_path / "a.npz").read_bytes() == (tmp_path / "b.npz").read_bytes()
    assert facts(read_cora(tmp_path / "a.npz")) == FACTS


def test_the_split_in_the_script_is_the_one_in_the_archive(build):
    bits = np.unpackbits(np.frombuffer(build.base64.b64decode("".join(build.SPLIT.split())), dtype=np.uint8))
    assert np.array_equal(bits.reshape(-1, 2)[:2708] @ [2, 1], arrays_of(ARCHIVE)["split"])


def test_the_script_refuses_another_package(build, tmp_path):
    (tmp_path / "other.whl").write_bytes(b"something else")
    with pytest.raises(SystemExit, match="not the file this script was written for"):
        build.read_wheel(tmp_path / "other.whl")


# --- a file that is not as shipped ---


def complaint(path):
    with pytest.raises(CoraFileError) as caught:
        read_cora(path)
    message = str(caught.value)
    assert str(path) in message
    assert module.REBUILD in message
    assert "\n" not in message
    return message


def test_a_missing_file_is_named_with_the_command_that_rebuilds_it(tmp_path):
    assert "is missing" in complaint(tmp_path / "cora.npz")


@pytest.mark.parametrize("kept", [0, 10, 5_000, 60_000, -1])
def test_a_truncated_file_is_refused(tmp_path, kept):
    path = tmp_path / "cora.npz"
    path.write_bytes(ARCHIVE.read_bytes()[:kept])
    assert "cut short or damaged" in complaint(path)


@pytest.mark.parametrize("position", [0.05, 0.3, 0.5, 0.7, 0.95])
def test_a_flipped_byte_is_refused(tmp_path, position):
    content = bytearray(ARCHIVE.read_bytes())
    content[int(position * len(content))] ^= 0xFF
    path = tmp_path / "cora.npz"
    path.write_bytes(bytes(content))
    complaint(path)


def swapped_words(arrays):
    """All counts stay as they are: only the digest can tell."""
    arrays["word"][[0, 1]] = arrays["word"][[1, 0]]


def relabelled(arrays):
    arrays["label"][0] = (arrays["label"][0] + 1) % 7


def moved_to_test(arrays):
    arrays["split"][np.flatnonzero(arrays["split"] == 1)[0]] = 3


def dropped_citation(arrays):
    for name in ("citing", "cited"):
        arrays[name] = arrays[name][:-1]


@pytest.mark.parametrize("alter", [swapped_words, relabelled, moved_to_test, dropped_citation])
def test_altered_data_are_refused(build, tmp_path, alter):
    arrays = arrays_of(ARCHIVE)
    alter(arrays)
    build.write(arrays, tmp_path / "cora.npz")
    assert "does not hold the data it was shipped with" in complaint(tmp_path / "cora.npz")


@pytest.mark.parametrize(
    ("alter", "fact"),
    [
        (relabelled, "links within a class, in per mille"),
        (moved_to_test, "training papers by class"),
        (dropped_citation, "citations"),
    ],
)
def test_other_data_are_refused_by_fact_even_if_the_digest_agrees(build, tmp_path, monkeypatch, alter, fact):
    arrays = arrays_of(ARCHIVE)
    alter(arrays)
    build.write(arrays, tmp_path / "cora.npz")
    monkeypatch.setattr(module, "DIGEST", module.digest(arrays))
    assert f"{fact} should be" in complaint(tmp_path / "cora.npz")
    assert facts(from_arrays(arrays)) != FACTS


def test_an_archive_with_a_missing_array_is_refused(tmp_path):
    path = tmp_path / "cora.npz"
    with zipfile.ZipFile(ARCHIVE) as whole, zipfile.ZipFile(path, "w") as part:
        for name in whole.namelist()[:-1]:
            part.writestr(name, whole.read(name))
    complaint(path)


class Bomb:
    """Would fail the test if it were ever unpickled."""

    def __reduce__(self):
        return (pytest.fail, ("the archive was unpickled",))


def test_a_pickle_inside_the_archive_is_not_opened(tmp_path):
    arrays = arrays_of(ARCHIVE)
    arrays["label"] = np.array([Bomb()] * 2708, dtype=object)
    np.savez(tmp_path / "cora.npz", **arrays)
    complaint(tmp_path / "cora.npz")

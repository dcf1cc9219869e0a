"""Inputs made up from a graph's signature: in range, fitting each other, and usable."""

from __future__ import annotations

import numpy as np
import onnx
import onnx.parser
import onnx_ir as ir
import pytest

from compressor.evaluation.contract import Feeds, Refusal, Samples
from compressor.evaluation.running import run_samples
from compressor.evaluation.samples import generate_samples, probe_session
from compressor.evaluation.signature import Kind, read_signature
from compressor.evaluation.values import make_mask
from compressor.model.session import open_session

BERT_LIKE = """
<ir_version: 8, opset_import: ["" : 17]>
encoder (int64[batch, sequence] ids, int64[batch, sequence] kinds, int64[batch, sequence] mask)
    => (float[batch, sequence, 4] hidden)
<float[11, 4] words, float[2, 4] segments, float one = {1.0}, int64[1] axis = {2}>
{
    narrow = Cast<to = 6>(ids)
    word = Gather(words, narrow)
    segment = Gather(segments, kinds)
    sum = Add(word, segment)
    float_mask = Cast<to = 1>(mask)
    hidden_mask = Sub(one, float_mask)
    wide = Unsqueeze(hidden_mask, axis)
    hidden = Add(sum, wide)
}
"""


def parse(text: str, **weights: tuple[int, ...]) -> ir.Model:
    """Parse ONNX text; initializers without values there get random ones of the given shapes."""
    proto = onnx.parser.parse_model(text)
    random = np.random.default_rng(0)
    for tensor in list(proto.graph.initializer):
        if tensor.name in weights:
            proto.graph.initializer.remove(tensor)
    for name, shape in weights.items():
        array = random.standard_normal(shape).astype(np.float32)
        proto.graph.initializer.append(onnx.numpy_helper.from_array(array, name))
    return ir.from_proto(proto)


def encoder() -> ir.Model:
    text = BERT_LIKE.replace("float[11, 4] words, float[2, 4] segments, ", "")
    return parse(text, words=(11, 4), segments=(2, 4))


def made(model: ir.Model, *, seed: int = 0) -> Samples:
    samples = generate_samples(model, seed=seed, probe=probe_session(open_session(model, threads=1)))
    assert isinstance(samples, Samples), samples
    return samples


def test_ids_stay_within_the_table_they_index() -> None:
    samples = made(encoder())
    ids = np.concatenate([batch["ids"].reshape(-1) for batch in samples.batches])
    kinds = np.concatenate([batch["kinds"].reshape(-1) for batch in samples.batches])
    assert (ids.min(), ids.max()) == (0, 10)
    assert set(kinds) == {0, 1}
    assert samples.notes == ()


def test_smallest_of_several_tables_wins() -> None:
    model = parse(
        """<ir_version: 8, opset_import: ["" : 17]>
        g (int64[n, s] ids) => (float[n, s, 2] y) {
            flat = Identity(ids)
            a = Gather(large, flat)
            b = Gather(small, ids)
            y = Add(a, b)
        }""",
        large=(50, 2),
        small=(3, 2),
    )
    assert max(batch["ids"].max() for batch in made(model).batches) == 2


def test_constant_added_to_ids_narrows_their_range() -> None:
    model = parse(
        """<ir_version: 8, opset_import: ["" : 17]>
        g (int64[n, s] ids) => (float[n, s, 2] y) <int64 offset = {2}> {
            shifted = Add(ids, offset)
            y = Gather(table, shifted)
        }""",
        table=(5, 2),
    )
    assert max(batch["ids"].max() for batch in made(model).batches) == 2


def test_table_behind_a_branch_and_a_function_is_found() -> None:
    model = parse(
        """<ir_version: 8, opset_import: ["" : 17, "local" : 1]>
        g (bool flag, int64[n, s] ids) => (float[n, s, 2] y) {
            y = If (flag) <
                then_branch = a () => (float[n, s, 2] t) { t = local.look (small, ids) },
                else_branch = b () => (float[n, s, 2] e) { e = Gather(table, ids) }
            >
        }
        <domain: "local", opset_import: ["" : 17]>
        look (weights, places) => (rows) {
            flat = Identity(places)
            rows = Gather(weights, flat)
        }""",
        table=(9, 2),
        small=(4, 2),
    )
    samples = made(model)
    assert max(batch["ids"].max() for batch in samples.batches) == 3
    assert {bool(batch["flag"]) for batch in samples.batches} == {True, False}


def test_table_behind_other_operators_is_found() -> None:
    model = parse(
        """<ir_version: 8, opset_import: ["" : 17]>
        g (int64[n, s] ids) => (float[n, s, 2] y) {
            turned = Transpose<perm = [1, 0]>(table)
            small = Cast<to = 10>(turned)
            back = Cast<to = 1>(small)
            y = Gather(back, ids)
        }""",
        table=(2, 6),
    )
    assert max(batch["ids"].max() for batch in made(model).batches) == 5


def test_masks_hold_every_kind_of_padding_and_never_an_empty_row() -> None:
    mask = make_mask((5, 12), 0, np.random.default_rng(0))
    full, right, left, holes, nearly_empty = mask
    assert full.all()
    assert right[0] == 1
    assert right[-1] == 0
    assert left[0] == 0
    assert left[-1] == 1
    inner = np.flatnonzero(holes)
    assert (np.diff(inner) > 1).any()
    assert nearly_empty.sum() == 1
    for length in (1, 2, 3):
        assert make_mask((10, length), 3, np.random.default_rng(1)).any(axis=1).all()


def test_mask_of_padding_marks_no_row_as_padding_from_end_to_end() -> None:
    model = parse(
        """<ir_version: 8, opset_import: ["" : 17]>
        g (float[batch, time] scores, bool[batch, time] src_key_padding_mask) => (float[batch, time] y)
        <float low = {-10000.0}> { y = Where(src_key_padding_mask, low, scores) }"""
    )
    rows = [row for batch in made(model).batches for row in batch["src_key_padding_mask"]]
    assert any(row.any() for row in rows)
    assert not any(row.all() for row in rows)


def test_input_is_a_mask_by_use_even_when_nothing_is_named_so() -> None:
    model = encoder()
    model.graph.inputs[2].name = "third"
    values = np.concatenate([batch["third"].reshape(-1) for batch in made(model).batches])
    assert set(values) == {0, 1}


def test_same_axis_name_has_the_same_size_and_sizes_vary() -> None:
    samples = made(encoder())
    shapes = [{array.shape for array in batch.values()} for batch in samples.batches]
    assert all(len(found) == 1 for found in shapes)
    rows, lengths = zip(*(found.pop() for found in shapes), strict=True)
    assert 1 in rows
    assert max(rows) > 1
    assert len(set(lengths)) == 3
    assert samples.rows == sum(rows) >= 8


def test_mask_spans_the_cache_and_the_new_steps() -> None:
    model = parse(
        """<ir_version: 8, opset_import: ["" : 17]>
        g (float[batch, 2, past_length, 4] past_key, float[batch, 2, sequence, 4] key,
           float[batch, both] attention_mask, int64[batch, total_length] total)
           => (float[batch, 2, all, 4] present, float[batch, all] y) {
            present = Concat<axis = 2>(past_key, key)
            float_total = Cast<to = 1>(total)
            y = Add(attention_mask, float_total)
        }"""
    )
    model.graph.inputs[2].shape = ir.Shape(["batch", "past_length + sequence"])
    samples = made(model)
    pasts = set()
    for batch in samples.batches:
        past, new = batch["past_key"].shape[2], batch["key"].shape[2]
        pasts.add(past)
        assert batch["attention_mask"].shape[1] == past + new == batch["total"].shape[1]
        assert not past or batch["attention_mask"][:, past - 1].all()
    assert 0 in pasts
    assert max(pasts) > 0
    assert any(batch["key"].shape[2] == 1 for batch in samples.batches), "no decoding step"


def test_decoder_gets_another_length_than_encoder() -> None:
    model = parse(
        """<ir_version: 8, opset_import: ["" : 17]>
        g (float[batch, sequence] x, float[batch, target_length] decoder_x) => (float[batch, both] y) {
            y = Concat<axis = 1>(x, decoder_x)
        }"""
    )
    assert all(batch["x"].shape[1] != batch["decoder_x"].shape[1] for batch in made(model).batches)


def test_sizes_baked_into_the_graph_are_found_and_named() -> None:
    model = parse(
        """<ir_version: 8, opset_import: ["" : 17]>
        g (float[batch, sequence] x) => (float[1, sequence] y) <int64[2] one_by_128 = {1, 128}> {
            y = Reshape(x, one_by_128)
        }"""
    )
    samples = made(model)
    assert {batch["x"].shape for batch in samples.batches} == {(1, 128)}
    assert samples.rows == 8
    assert "x 4x16" in samples.notes[0]


@pytest.mark.parametrize(
    "body",
    [
        # What tracing nn.MultiheadAttention leaves: the number of keys next to the number of rows as it comes.
        """{
            shape = Shape(x)
            rows = Gather(shape, first)
            some = Unsqueeze(rows, axes)
            target = Concat<axis = 0>(some, length, width)
            y = Reshape(x, target)
        }""",
        "{ y = Add(x, positions) }",
    ],
)
def test_length_baked_into_a_shape_or_a_table_is_found(body: str) -> None:
    model = parse(
        f"""
        <ir_version: 8, opset_import: ["" : 17]>
        traced (float[batch, time, 2] x) => (float[batch, time, 2] y)
        <int64 first = {{0}}, int64[1] axes = {{0}}, int64[1] length = {{37}}, int64[1] width = {{2}},
         float[1, 37, 2] positions>
        {body}
        """,
        positions=(1, 37, 2),
    )
    shapes = {feeds["x"].shape for feeds in made(model).batches}
    assert {shape[1:] for shape in shapes} == {(37, 2)}
    assert {shape[0] for shape in shapes} >= {1, 3}


def test_image_size_of_the_position_table_is_found_and_other_axes_still_vary() -> None:
    model = parse(
        """<ir_version: 8, opset_import: ["" : 17]>
        g (float[n, 3, height, width] pixel_values, float[n, sequence] x) => (float[n, s] y, float[n, 3, h, w] z) {
            y = Identity(x)
            z = Add(pixel_values, positions)
        }""",
        positions=(1, 3, 96, 96),
    )
    samples = made(model)
    assert {batch["pixel_values"].shape[1:] for batch in samples.batches} == {(3, 96, 96)}
    assert len({batch["x"].shape[0] for batch in samples.batches}) > 1
    assert len({batch["x"].shape[1] for batch in samples.batches}) > 1
    assert len(samples.notes) == 1


def test_size_that_a_weight_implies_is_taken() -> None:
    model = parse(
        """<ir_version: 8, opset_import: ["" : 17]>
        g (float[a, b, c] x) => (float[a, b, 3] y) { y = MatMul(x, weight) }""",
        weight=(7, 3),
    )
    samples = made(model)
    assert {batch["x"].shape[2] for batch in samples.batches} == {7}
    assert samples.notes == ()


def test_images_get_pixels_of_a_usual_size() -> None:
    model = parse(
        """<ir_version: 8, opset_import: ["" : 17]>
        g (float[N, 3, H, W] pixel_values) => (float[N, 2, h, w] y) { y = Conv(pixel_values, weight) }""",
        weight=(2, 3, 3, 3),
    )
    assert {batch["pixel_values"].shape[1:] for batch in made(model).batches} == {(3, 224, 224)}


def test_static_model_gets_enough_rows_of_different_values() -> None:
    model = parse(
        """<ir_version: 8, opset_import: ["" : 17]>
        g (float[1, 4] x, float scalar) => (float[1, 4] y) { y = Add(x, scalar) }"""
    )
    samples = made(model)
    assert samples.rows == 8
    assert len({batch["x"].tobytes() for batch in samples.batches}) == 8


def test_weights_that_may_be_overridden_are_not_fed() -> None:
    model = parse(
        """<ir_version: 8, opset_import: ["" : 17]>
        g (float[1, 2] x, float[1, 2] w) => (float[1, 2] y) { y = Mul(x, w) }""",
        w=(1, 2),
    )
    model.graph.register_initializer(model.graph.inputs[1])
    assert all(set(batch) == {"x"} for batch in made(model).batches)


def test_negative_and_missing_sizes_are_open() -> None:
    model = parse(
        """<ir_version: 8, opset_import: ["" : 17]>
        g (float[?, 2] x, float[n, 2] z) => (float[m, 2] y) { y = Add(x, z) }"""
    )
    model.graph.inputs[1].shape = ir.Shape([-1, 2])
    assert len({batch["x"].shape for batch in made(model).batches}) == 3


def test_input_of_unknown_rank_is_tried() -> None:
    model = parse(
        """<ir_version: 8, opset_import: ["" : 17]>
        g (float[n, 5] x) => (float[n, 3] y) { y = Gemm(x, weight) }""",
        weight=(5, 3),
    )
    model.graph.inputs[0].shape = None
    assert {batch["x"].shape[1] for batch in made(model).batches} == {5}


@pytest.mark.parametrize("kind", ["bfloat16", "float16", "double", "uint8", "int8", "bool", "string", "uint64"])
def test_every_element_type_can_be_fed(kind: str) -> None:
    text = f"""<ir_version: 9, opset_import: ["" : 19]>
        g ({kind}[n, 2] x) => ({kind}[n, 2] y) {{ y = Identity(x) }}"""
    model = parse(text)
    session = open_session(model, threads=1)
    samples = generate_samples(model, probe=probe_session(session))
    assert isinstance(samples, Samples)
    outputs = run_samples(session, samples)
    assert not isinstance(outputs, Refusal)
    for batch, (output,) in zip(samples.batches, outputs, strict=True):
        assert output.tolist() == batch["x"].tolist()


def test_same_seed_same_inputs_and_another_seed_others() -> None:
    def content(samples: Samples) -> list[bytes]:
        return [batch["ids"].tobytes() + batch["mask"].tobytes() for batch in samples.batches]

    assert content(made(encoder())) == content(made(encoder()))
    assert content(made(encoder())) != content(made(encoder(), seed=1))


def test_types_that_cannot_be_made_up_are_refused_with_the_name() -> None:
    model = parse("""<ir_version: 8, opset_import: ["" : 17]>
        g (seq(float[n]) parts) => (float[m] y) { y = ConcatFromSequence<axis = 0>(parts) }""")
    refusal = generate_samples(model)
    assert isinstance(refusal, Refusal)
    assert "'parts'" in refusal.reason


def test_model_that_runs_on_nothing_is_refused_with_the_failure() -> None:
    model = parse("""<ir_version: 8, opset_import: ["" : 17]>
        g (float[n, s] x) => (float[n, s] y) { y = Identity(x) }""")
    tried: list[Feeds] = []

    def probe(feeds: Feeds) -> Refusal:
        tried.append(feeds)
        return Refusal(reason="does not run on Sundays")

    refusal = generate_samples(model, probe=probe)
    assert isinstance(refusal, Refusal)
    assert "does not run on Sundays" in refusal.reason
    assert len(tried) > 10, "it gave up early"


def test_branch_that_fails_is_avoided_by_setting_the_switch() -> None:
    model = parse("""<ir_version: 8, opset_import: ["" : 17]>
        g (bool flag, float[2, 2] x) => (float[a, b] y) <int64[1] three = {3}> {
            y = If (flag) <
                then_branch = p () => (float[a, b] t) { t = Reshape(x, three) },
                else_branch = q () => (float[a, b] e) { e = Identity(x) }
            >
        }""")
    samples = made(model)
    assert not any(batch["flag"].item() for batch in samples.batches)
    assert samples.rows == 8


def test_slow_model_gets_fewer_batches_and_a_note() -> None:
    samples = generate_samples(encoder(), probe=lambda _: None, patience=-1.0)
    assert isinstance(samples, Samples)
    assert len(samples.batches) == 1
    assert "slow" in samples.notes[-1]


def test_wide_vocabulary_gets_short_inputs() -> None:
    text = """<ir_version: 8, opset_import: ["" : 17]>
        g (float[n, s] x) => (float[n, s, 250000] y) { y = Identity(x) }"""
    samples = generate_samples(parse(text))
    assert isinstance(samples, Samples)
    assert sum(batch["x"].size for batch in samples.batches) * 250_000 * 4 < 200 << 20


def test_model_without_inputs_is_run_once() -> None:
    model = parse("""<ir_version: 8, opset_import: ["" : 17]>
        g () => (float[1] y) { y = Constant<value = float[1] {1.0}>() }""")
    assert made(model).batches == ({},)


def test_inputs_too_large_for_memory_are_refused_unmade() -> None:
    model = parse("""<ir_version: 8, opset_import: ["" : 17]>
        g (float[1000000, 1000000] x) => (float[1000000, 1000000] y) { y = Identity(x) }""")
    refusal = generate_samples(model)
    assert isinstance(refusal, Refusal)
    assert "1,000,000,000,000" in refusal.reason


@pytest.mark.parametrize(
    "name", ["((" * 5000, "9**9**9", "a+", "-" * 100_000 + "1", "__import__('os').abort()", "1/0 + n", "-", "batch\n+1"]
)
def test_axis_names_are_never_more_than_sizes(name: str) -> None:
    model = parse("""<ir_version: 8, opset_import: ["" : 17]>
        g (float[n, 2] x) => (float[n, 2] y) { y = Identity(x) }""")
    model.graph.inputs[0].shape = ir.Shape([name, 2])
    assert made(model).rows >= 8


def test_latent_images_stay_small() -> None:
    model = parse("""<ir_version: 8, opset_import: ["" : 17]>
        g (float[n, 4, height, width] sample) => (float[n, 4, height, width] y) { y = Identity(sample) }""")
    assert {batch["sample"].shape[2:] for batch in made(model).batches} == {(32, 32)}


def test_float_mask_added_to_scores_is_zero_or_very_negative() -> None:
    text = """<ir_version: 8, opset_import: ["" : 17]>
        g (float[n, s] attention_mask, float[n, s] scores) => (float[n, s] y) {
            masked = Add(scores, attention_mask)
            y = Softmax(masked)
        }"""
    values = np.concatenate([batch["attention_mask"].reshape(-1) for batch in made(parse(text)).batches])
    assert set(values) == {0.0, -10000.0}
    multiplied = text.replace("Add(", "Mul(")
    values = np.concatenate([batch["attention_mask"].reshape(-1) for batch in made(parse(multiplied)).batches])
    assert set(values) == {0.0, 1.0}


def test_setting_takes_the_constant_it_is_compared_with() -> None:
    model = parse("""<ir_version: 8, opset_import: ["" : 17]>
        g (int64 sr, float[n, 2] x) => (float[n, 2] y) <int64 rate = {16000}> {
            known = Equal(sr, rate)
            y = If (known) <
                then_branch = p () => (float[n, 2] t) { t = Neg(x) },
                else_branch = q () => (float[n, 2] e) { e = Identity(x) }
            >
        }""")
    assert {batch["sr"].item() for batch in made(model).batches} == {16000}


def test_positions_count_up_from_the_cache_and_stay_in_their_table() -> None:
    model = parse(
        """<ir_version: 8, opset_import: ["" : 17]>
        g (int64[n, s] position_ids, float[n, 2, past, 4] past_key) => (float[n, s, 2] y, float[n, 2, past, 4] z) {
            y = Gather(table, position_ids)
            z = Identity(past_key)
        }""",
        table=(20, 2),
    )
    for batch in made(model).batches:
        first = batch["past_key"].shape[2]
        wanted = np.minimum(np.arange(first, first + batch["position_ids"].shape[1]), 19)
        assert (batch["position_ids"] == wanted).all()


def test_operators_of_unknown_domains_teach_nothing() -> None:
    text = """<ir_version: 8, opset_import: ["" : 17, "their.own" : 1]>
        g (int64[n, s] ids) => (float[n, s] y) <int64 zero = {0}> {
            y = their.own.Gather(table, ids)
            b = their.own.Add(ids)
            c = their.own.Equal(ids, zero)
            d = their.own.Cast(ids)
        }"""
    theirs, ours = (read_signature(parse(t, table=(3, 2))) for t in (text, text.replace("their.own.G", "G")))
    assert not isinstance(theirs, Refusal)
    assert not isinstance(ours, Refusal)
    assert (theirs[0].kind, theirs[0].limit, theirs[0].compared_to) == (Kind.NUMBERS, None, ())
    assert (ours[0].kind, ours[0].limit) == (Kind.INDEX, 3)

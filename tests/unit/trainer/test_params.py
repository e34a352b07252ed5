import re
from pathlib import Path

import pytest

from shared.params import FeatureParams, Params, ParamsInvalid, flat, load_params

MINIMAL = "model: {name: m}\ndata: {source: a.csv, target: y}\n"


def loaded(directory: Path, text: str) -> Params:
    path = directory / "params.yaml"
    path.write_text(text, encoding="utf-8")
    return load_params(path)


def problems(directory: Path, text: str) -> str:
    with pytest.raises(ParamsInvalid) as refused:
        loaded(directory, text)
    return str(refused.value)


def test_the_shipped_file_is_valid() -> None:
    params = load_params(Path(__file__).parents[3] / "params.yaml")

    assert params.model_building.random_forest.n_estimators == 200
    assert params.model_building.random_forest.max_depth == 15
    assert params.model_building.random_forest.seed == 42


def test_everything_but_name_source_and_target_has_a_default(tmp_path: Path) -> None:
    params = loaded(tmp_path, MINIMAL)

    assert params.selection.cv == 5
    assert params.data.test_fraction == 0.2


def test_an_empty_section_means_its_defaults(tmp_path: Path) -> None:
    text = MINIMAL + "features:\nselection:\nmodel_building:\n  ridge:\n"

    assert loaded(tmp_path, text) == loaded(tmp_path, MINIMAL)


def test_an_unknown_key_is_refused_with_the_one_that_was_meant(tmp_path: Path) -> None:
    message = problems(tmp_path, MINIMAL + "model_building: {random_forest: {n_estimator: 3}}\n")

    assert "model_building.random_forest.n_estimator is not a known key (did you mean n_estimators?)" in message


def test_every_problem_is_named_at_once(tmp_path: Path) -> None:
    message = problems(tmp_path, "model: {name: m}\ndata: {source: a.csv}\nselection: {cv: 1}\nwhatever: 3\n")

    assert "data.target is missing" in message
    assert "selection.cv" in message
    assert "whatever is not a known key" in message


def test_a_wrong_key_of_a_column_is_refused(tmp_path: Path) -> None:
    message = problems(tmp_path, MINIMAL + "features: {age: {kinds: numeric}}\n")

    assert "features.age.kinds is not a known key (did you mean kind?)" in message


def test_a_key_that_appears_twice_is_refused(tmp_path: Path) -> None:
    assert "'model' appears twice" in problems(tmp_path, MINIMAL + "model: {name: other}\n")


def test_words_that_yaml_reads_as_something_else_are_explained(tmp_path: Path) -> None:
    message = problems(tmp_path, "model: {name: m}\ndata: {source: a.csv, target: y, null_values: [NA, null]}\n")

    assert "data.null_values.1" in message
    assert "put quotes" in message
    assert "put quotes" in problems(tmp_path, MINIMAL + "features: {on: {drop: true}}\n")


@pytest.mark.parametrize("name", ["", "a/b", "../up", "a b", "-a"])
def test_a_name_that_cannot_be_a_store_key_is_refused(tmp_path: Path, name: str) -> None:
    assert "model.name" in problems(tmp_path, f"model: {{name: '{name}'}}\ndata: {{source: a.csv, target: y}}\n")


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ParamsInvalid, match=r"nowhere\.yaml.*\n.*does not exist"):
        load_params(tmp_path / "nowhere.yaml")


def test_text_that_is_not_yaml_is_refused(tmp_path: Path) -> None:
    assert "not YAML" in problems(tmp_path, "model: {name\n")
    assert "must be a mapping" in problems(tmp_path, "just words\n")


def test_the_digest_ignores_order_comments_and_spelled_out_defaults(tmp_path: Path) -> None:
    reordered = "# hello\ndata: {target: y, source: a.csv, test_fraction: 0.2}\nmodel: {name: m}\n"

    assert loaded(tmp_path, reordered).digest == loaded(tmp_path, MINIMAL).digest


def test_the_digest_changes_with_a_value(tmp_path: Path) -> None:
    changed = MINIMAL + "selection: {seed: 43}\n"

    assert loaded(tmp_path, changed).digest != loaded(tmp_path, MINIMAL).digest


def test_flat_names_hyper_parameters_as_the_file_nests_them(tmp_path: Path) -> None:
    values = flat(loaded(tmp_path, MINIMAL))

    assert values["model_building.ridge.alpha"] == "1.0"
    assert values["data.target"] == "y"


def test_every_key_is_documented_with_its_default(tmp_path: Path) -> None:
    page = (Path(__file__).parents[3] / "docs" / "params.md").read_text(encoding="utf-8")
    documented = {key: default.strip() for key, default in re.findall(r"^\| `(.+?)` \|([^|]*)\|", page, re.MULTILINE)}
    of_columns = {f"features.<column>.{key}" for key in FeatureParams.model_fields}
    defaults = {key.removeprefix("model_building."): value for key, value in flat(loaded(tmp_path, MINIMAL)).items()}

    assert set(documented) == set(defaults) - {"features"} | of_columns
    for key in set(defaults) - {"model.name", "data.source", "data.target", "data.null_values", "features"}:
        default = defaults[key].replace("null", "none")
        assert documented[key] in (default, default.removesuffix(".0")), key


def test_a_key_that_is_gone_says_what_came_instead(tmp_path: Path) -> None:
    message = problems(tmp_path, MINIMAL + "promotion: {max_rmse_increase: 0.1}\n")

    assert "promotion.max_rmse_increase is gone: remove it" in message
    assert "better than the champion" in message


@pytest.mark.parametrize("schedule", ["every night", "61 * * * *", "0 3 * *", "0 0 30 2 *"])
def test_a_schedule_that_is_no_cron_expression_is_refused(tmp_path: Path, schedule: str) -> None:
    assert "retrain.schedule" in problems(tmp_path, MINIMAL + f"retrain: {{schedule: '{schedule}'}}\n")


def test_a_schedule_with_seconds_is_refused_with_what_to_do(tmp_path: Path) -> None:
    for schedule in ("30 0 3 * * *", "*/5 * * * * *"):
        message = problems(tmp_path, MINIMAL + f"retrain: {{schedule: '{schedule}'}}\n")
        assert f"'{schedule}' has six fields: leave out the seconds" in message


@pytest.mark.parametrize("schedule", ["*/15 * * * *", "0 3 * JAN MON", "0 3 L * *", "0 3 * * 5#2", "0  3 * * *"])
def test_a_schedule_of_five_fields_is_taken_with_the_names_of_cron(tmp_path: Path, schedule: str) -> None:
    assert loaded(tmp_path, MINIMAL + f"retrain: {{schedule: '{schedule}'}}\n").retrain.schedule == schedule


def test_a_schedule_may_be_left_empty(tmp_path: Path) -> None:
    assert loaded(tmp_path, MINIMAL + "retrain: {schedule: ' '}\n").retrain.schedule == ""
    assert loaded(tmp_path, MINIMAL + "retrain: {schedule: '0 3 * * *'}\n").retrain.schedule == "0 3 * * *"

"""The referee's run: what makes a claim fail, what is recorded, and that nothing is overlooked."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pytest
from import_closure import Package

from collapse.ledger import KINDS, Claim, Kind, Record, claims, get
from collapse.numeric import Evidence, Verdict
from collapse.referee import run
from collapse.referee.certificates import recheck_file, write_certificates
from collapse.referee.outcome import Outcome
from collapse.referee.proofs import symbolic_outcome
from collapse.referee.report import Entry, Report
from collapse.referee.run import examine
from collapse.referee.trials import TRIALS
from collapse.symbolic import PROOFS

ROOT = Path(__file__).resolve().parent.parent
LEMMA = "as25-lem-4.1"


@pytest.fixture(scope="module")
def report() -> Report:
    return examine([LEMMA, "as25-lem-4.2"])


def outcome(kind: Kind, **changed: Any) -> Outcome:
    good = Outcome(kind, "softmax-tv", "one", Evidence.PASSED, True, "half", 0.5, "60 cases")
    return replace(good, **changed)


def entry(*outcomes: Outcome, claim: Claim | None = None, stated: bool | None = True) -> Entry:
    return Entry(claim or get("softmax-tv"), outcomes, stated)


GOOD = tuple(outcome(kind) for kind in KINDS)


# --- what makes a claim fail ---------------------------------------------------------------------


def test_a_claim_stands_by_two_kinds_of_check() -> None:
    assert entry(*GOOD).failures == ()
    assert entry(*GOOD[:2], stated=None).failures == ()
    assert set(entry(*GOOD).marks.values()) == {Evidence.PASSED}
    (alone,) = entry(GOOD[0]).failures
    assert alone.startswith("2 kinds of check must pass") and alone.endswith("passed: symbolic")


def test_where_one_kind_applies_one_is_enough() -> None:
    claim = replace(get("softmax-tv"), inapplicable=dict.fromkeys(KINDS[1:], "as a test"))
    assert entry(GOOD[0], claim=claim).failures == ()
    assert len(entry(claim=claim).failures) == 1


@pytest.mark.parametrize(
    ("spoilt", "reason"),
    [
        (outcome("attacked", evidence=Evidence.FAILED, detail="ratio 1.3"), "ratio 1.3"),
        (outcome("attacked", evidence=Evidence.UNDECIDED), "fell short"),
        (outcome("certified", noticed=False), "the control was not noticed: half"),
        (outcome("property", evidence=Evidence.FAILED), "60 cases"),
    ],
)
def test_one_bad_trial_among_good_ones_fails_the_claim(spoilt: Outcome, reason: str) -> None:
    spoilt = replace(spoilt, trial="two")
    (found,) = entry(*GOOD, spoilt).failures
    assert found.startswith(f"{spoilt.kind}, two: ") and reason in found
    assert entry(*GOOD, spoilt).marks[spoilt.kind] is not Evidence.PASSED


def test_an_undecided_ball_is_no_failure_but_counts_for_nothing() -> None:
    open_ = outcome("certified", evidence=Evidence.UNDECIDED)
    assert entry(GOOD[0], GOOD[2], open_).failures == ()
    assert len(entry(GOOD[0], open_).failures) == 1


def test_a_missing_statement_fails_the_claim() -> None:
    assert entry(*GOOD, stated=False).failures == ("notebooks/02-softmax does not state it",)


def test_a_check_that_the_ledger_excludes_is_noticed() -> None:
    claim = replace(get("softmax-tv"), inapplicable={"property": "as a test"})
    (found,) = entry(*GOOD, claim=claim).failures
    assert "not applicable" in found


def test_open_and_cited_claims_and_chapters_to_come_need_no_check() -> None:
    for verdict in (Verdict.OPEN, Verdict.CITED):
        assert entry(claim=replace(get("softmax-tv"), verdict=verdict)).failures == ()
    assert entry(claim=replace(get("lambda-skip"), chapter=11), stated=False).failures == ()
    assert entry(claim=get("softmax-tv")).failures != ()


def test_the_tightest_case_is_shown() -> None:
    tight = outcome("attacked", ratio=0.999, trial="tight")
    none = outcome("symbolic", ratio=None)
    assert entry(none, GOOD[0], tight).tightest is tight
    assert entry(none).tightest is None


def test_a_violation_counts_only_where_the_claim_is_false() -> None:
    false = outcome("attacked", label=LEMMA, trial=TRIALS[LEMMA][0].name, ratio=2.0)
    assert not TRIALS[LEMMA][0].holds
    assert entry(false, claim=get(LEMMA)).tightest is false
    holding = outcome("attacked", ratio=0.5)
    assert entry(false, holding, claim=get("softmax-tv")).tightest is holding
    assert entry(holding, claim=get(LEMMA)).tightest is holding


# --- a real run ----------------------------------------------------------------------------------


@pytest.mark.label("as25-lem-4.1")
def test_the_run_refutes_the_lemma_in_every_way(report: Report) -> None:
    assert report.failures == ()
    found = report[LEMMA]
    assert dict(found.marks) == dict.fromkeys(KINDS, Evidence.PASSED)
    assert found.tightest is not None and found.tightest.ratio == 2.0
    assert found.tightest.code
    exec(found.tightest.code, {"print": lambda *_: None})  # asserts the violation


def test_what_is_not_readable_is_not_examined(report: Report) -> None:
    assert report["as25-lem-4.2"].outcomes == ()


def test_the_record_is_read_back(report: Report, tmp_path: Path) -> None:
    path = report.write(tmp_path / "new" / "claims.json")
    data = json.loads(path.read_text("utf-8"))
    assert data["schema"] == "collapse-claims/1" and data["failures"] == []
    assert data["claims"][LEMMA]["tightest"]["code"] == report[LEMMA].tightest.code
    record = Record.read(path)
    assert record == report.record and record.changed() == ()
    (lemma,) = (claim for claim in claims(path) if claim.label == LEMMA)
    assert set(lemma.evidence.values()) == {Evidence.PASSED}
    assert list(tmp_path.rglob("*.part")) == []


def test_the_build_watches_every_file_that_a_run_uses() -> None:
    package = Package(ROOT / "collapse")
    closure = package.files_of(package.closure("import collapse.referee.run"))
    watched = {path.relative_to(package.root).as_posix() for path in closure}
    # In a process of its own, since other tests have loaded modules that no check uses.
    code = (
        "import json; from collapse.referee.run import examine;"
        f"print(json.dumps(list(examine([{LEMMA!r}], kinds=['symbolic', 'certified']).sources)))"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    used = set(json.loads(ran.stdout))
    assert {"norms/tokens.py", "ledger/reported.py", "referee/balls.py"} <= used <= watched


def test_workers_find_the_same() -> None:
    labels = [LEMMA, "res-norm-lipschitz"]
    kinds: tuple[Kind, ...] = ("symbolic", "certified")
    seen: list[tuple[int, int]] = []
    alone = examine(labels, kinds=kinds, seed=3)
    shared = examine(labels, kinds=kinds, seed=3, workers=2, progress=lambda _, *n: seen.append(n))
    assert seen == [(0, 2), (1, 2), (2, 2)]
    assert untimed(alone) == untimed(shared)
    assert alone.certificates == shared.certificates != ()


def untimed(report: Report) -> dict[str, Any]:
    """What must not differ between two runs with one seed."""
    found: dict[str, Any] = json.loads(json.dumps(report.to_json()["claims"]))
    for each in found.values():
        each.pop("seconds")
        each["checks"] = [{**check, "seconds": 0} for check in each["checks"]]
    return found


def test_certificates_are_decided_again(report: Report, tmp_path: Path) -> None:
    path = write_certificates(tmp_path / "certificates.json", report.certificates)
    assert tuple(recheck_file(path)) == report.certificates
    data = json.loads(path.read_text("utf-8"))
    data["certificates"][0]["outcome"] = "proved"  # a lie: this case refutes the lemma
    path.write_text(json.dumps(data))
    with pytest.raises(ValueError, match=rf"certificate 1 \({LEMMA}\): outcome: expected refuted"):
        list(recheck_file(path))


@pytest.mark.parametrize(
    "text",
    [
        "{",
        "[]",
        '{"schema": "collapse-certificates/1"}',
        '{"schema": "collapse-certificates/1", "certificates": 3}',
        '{"schema": "collapse-certificates/1", "certificates": ["certificates.json"]}',
    ],
)
def test_another_file_holds_no_certificates(tmp_path: Path, text: str) -> None:
    path = tmp_path / "certificates.json"
    path.write_text(text)
    with pytest.raises(ValueError, match="certificate"):
        list(recheck_file(path))


# --- the run notices ------------------------------------------------------------------------------


def test_a_false_claim_that_is_called_true_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    lie = tuple(replace(trial, holds=True, limit=None) for trial in TRIALS[LEMMA])
    monkeypatch.setattr(run, "TRIALS", MappingProxyType({LEMMA: lie}))
    found = examine([LEMMA], kinds=["attacked", "property"])[LEMMA]
    assert set(found.marks.values()) == {Evidence.FAILED}
    assert any(reason.startswith("attacked, ") for reason in found.failures)


def test_a_check_that_breaks_down_has_failed(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(**_: Any) -> Any:
        raise RuntimeError("no such luck")

    (trial, *_) = TRIALS[LEMMA]
    monkeypatch.setattr(run, "TRIALS", {LEMMA: (replace(trial, sides=broken),)})
    found = examine([LEMMA], kinds=["certified"])[LEMMA]
    assert any("broke down: RuntimeError: no such luck" in reason for reason in found.failures)


def test_a_proof_that_fails_or_rests_on_nothing_is_noticed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def refuses() -> Any:
        raise AssertionError("step 2: sympy does not confirm 1 = 2")

    (proof,) = PROOFS["as25-thm-5.3"]
    assert symbolic_outcome("as25-thm-5.3").noticed
    monkeypatch.setitem(PROOFS, "as25-thm-5.3", [proof, refuses])
    monkeypatch.setitem(run.symbolic_outcome.__globals__["RESTS_ON"], refuses, ())
    found = symbolic_outcome("as25-thm-5.3")
    assert found is not None and found.evidence is Evidence.FAILED and "step 2" in found.detail
    monkeypatch.setitem(run.symbolic_outcome.__globals__["RESTS_ON"], proof, ())
    assert not symbolic_outcome("as25-thm-5.3").noticed
    assert symbolic_outcome("no-proof") is None


def test_a_proof_that_breaks_down_has_failed(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken() -> Any:
        raise TypeError("no such luck")

    monkeypatch.setitem(PROOFS, LEMMA, [broken])
    monkeypatch.setitem(run.symbolic_outcome.__globals__["RESTS_ON"], broken, ("residual",))
    (found,) = examine([LEMMA], kinds=["symbolic"])[LEMMA].outcomes
    assert found.evidence is Evidence.FAILED and not found.noticed
    assert found.detail == "the proof broke down: TypeError: no such luck"


def test_a_book_without_the_statement_is_noticed(tmp_path: Path) -> None:
    (tmp_path / "notebooks").mkdir()
    page = tmp_path / "notebooks" / "01-res.ipynb"
    shutil.copyfile(ROOT / "notebooks" / "01-res.ipynb", page)
    assert examine([LEMMA], kinds=["symbolic"], book=tmp_path)[LEMMA].stated is True
    page.write_text(page.read_text("utf-8").replace(f":label: {LEMMA}", ""))
    found = examine([LEMMA], kinds=["symbolic"], book=tmp_path)[LEMMA]
    assert "notebooks/01-res does not state it" in found.failures


@pytest.mark.parametrize(
    ("options", "quantity"),
    [
        ({"labels": ["no-such"]}, "label"),
        ({"labels": []}, "labels"),
        ({"seed": -1}, "seed"),
        ({"seconds": 0.0}, "seconds"),
        ({"seconds": float("nan")}, "seconds"),
        ({"workers": 0}, "workers"),
        ({"kinds": ["guessed"]}, "kinds"),
        ({"kinds": []}, "kinds"),
    ],
)
def test_bad_input_is_refused(options: dict[str, Any], quantity: str) -> None:
    with pytest.raises(ValueError, match=f"^{quantity}: expected"):
        examine(**{"labels": [LEMMA], **options})

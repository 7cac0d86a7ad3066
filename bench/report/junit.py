"""Limits as JUnit XML, which CI services show as tests."""

from __future__ import annotations

from typing import TYPE_CHECKING
from xml.etree import ElementTree as ET

from bench.report.format import plain

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bench.analysis.gate import Judgement

_ELEMENTS = {"regression": "failure", "too noisy": "error", "not comparable": "skipped"}


def junit_xml(judgements: Sequence[Judgement]) -> bytes:
    """Each limit in each cell as a test case: a regression fails, one that is too noisy to tell is an error.

    Args:
        judgements: What was found.
    """
    outcomes = [judgement.outcome for judgement in judgements]
    suite = ET.Element(
        "testsuite",
        name="hourglass compare",
        tests=str(len(outcomes)),
        failures=str(outcomes.count("regression")),
        errors=str(outcomes.count("too noisy")),
        skipped=str(outcomes.count("not comparable")),
    )
    for judgement in judgements:
        case = ET.SubElement(
            suite, "testcase", classname=plain(f"{judgement.run}.{judgement.cell}"), name=plain(judgement.limit)
        )
        if judgement.outcome in _ELEMENTS:
            ET.SubElement(case, _ELEMENTS[judgement.outcome], message=plain(judgement.reason))
        else:
            ET.SubElement(case, "system-out").text = plain(judgement.reason)
    suites = ET.Element("testsuites")
    suites.append(suite)
    ET.indent(suites)
    text: bytes = ET.tostring(suites, encoding="utf-8", xml_declaration=True)
    return text + b"\n"

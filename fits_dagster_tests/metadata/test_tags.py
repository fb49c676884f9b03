"""The tag engine: order of rules, blocking, removal."""

from __future__ import annotations

from fits_dagster.fits.reading import headers_from_text
from fits_dagster.metadata.header_values import HeaderValues
from fits_dagster.metadata.tags import TagRule, always, compute_tags, equals, no


def tags(*rules: TagRule, **keywords: str) -> set[str]:
    lines = ["SIMPLE  = T", *(f"{key:8}= '{value}'" for key, value in keywords.items())]
    subject = HeaderValues(headers_from_text("\n".join(lines)), "a.fits")
    return set(compute_tags(rules, subject))


def rule(*add: str, when=always, **effects: set[str]) -> TagRule:
    return TagRule(add, when, **{name: frozenset(values) for name, values in effects.items()})


def test_a_dark_is_no_image_whatever_the_order_of_the_rules():
    dark, image = rule("DARK", "CAL", blocks={"IMAGE"}), rule("IMAGE")
    assert tags(image, dark) == tags(dark, image) == {"DARK", "CAL"}


def test_a_rule_loses_all_its_tags_when_one_is_blocked():
    assert tags(rule("IMAGE", "FLAT"), rule("DARK", blocks={"IMAGE"})) == {"DARK"}


def test_removed_tags_do_not_void_the_rule_that_adds_them():
    assert tags(rule("GCALFLAT", "CAL"), rule("PINHOLE", removes={"GCALFLAT"})) == {"CAL", "PINHOLE"}


def test_rules_that_others_block_are_applied_later():
    lamp, processed = rule("LAMPON", blocked_by={"PROCESSED"}), rule("PROCESSED")
    assert tags(lamp, processed) == {"PROCESSED"}
    assert tags(lamp) == {"LAMPON"}


def test_rules_that_need_a_tag_come_last():
    assert tags(rule("THRUSLIT", if_present={"IMAGE"}), rule("IMAGE")) == {"THRUSLIT", "IMAGE"}
    assert tags(rule("THRUSLIT", if_present={"IMAGE"})) == set()


def test_conditions_look_at_keywords():
    assert tags(rule("ARC", when=equals("OBSTYPE", "ARC")), OBSTYPE="ARC") == {"ARC"}
    assert tags(rule("ARC", when=equals("OBSTYPE", "ARC")), OBSTYPE="arc") == set()
    assert tags(rule("OTHER", when=no(equals("OBSTYPE", "ARC")))) == {"OTHER"}


def test_computed_tags_may_be_none():
    assert tags(TagRule(lambda subject: (), always)) == set()

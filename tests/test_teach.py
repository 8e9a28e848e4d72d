"""The teacher's folder agrees with the course."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
TEACH = ROOT / "teach"
NUMBERS = [path.stem[:2] for path in sorted((ROOT / "notebooks").glob("[0-9][0-9]_*.py"))]


def sections(file: str) -> dict[str, str]:
    """Text below each ``## NN title``."""
    parts = re.split(r"^## (\d\d) .*$", (TEACH / file).read_text(), flags=re.M)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


@pytest.mark.parametrize("file", ["guide.md", "quiz.md"])
def test_every_notebook_has_a_section(file):
    assert list(sections(file)) == NUMBERS


def test_plans_name_notebooks_that_exist():
    text = (TEACH / "plans.md").read_text()
    named = {
        number for line in text.splitlines() for number in re.findall(r"(?<![\d.])\d\d(?![\d%])", line)
    }
    tables = {n for n in named if n in NUMBERS}
    five_days = text.split("## Five days")[1].split("## Two tracks")[0]
    assert sorted(re.findall(r"\b\d\d\b", five_days)) == NUMBERS
    assert tables == set(NUMBERS)


def test_every_question_has_three_options_with_reasons_and_one_is_right():
    for number, text in sections("quiz.md").items():
        questions = re.split(r"^\d\. ", text, flags=re.M)[1:]
        assert len(questions) == 5, number
        for question in questions:
            options = re.findall(r"^   - [abc]\) (.+)$", question, flags=re.M)
            assert len(options) == 3, (number, question)
            marks = [("✔" in option) - ("✘" in option) for option in options]
            assert sorted(marks) == [-1, -1, 1], (number, question)


def test_guide_has_its_parts_and_names_figures_that_exist():
    saved = {
        name
        for path in (ROOT / "notebooks").glob("[0-9][0-9]_*.py")
        for name in re.findall(r'"(\d\d_\w+)"', path.read_text())
    }
    for number, text in sections("guide.md").items():
        for part in ("**Purpose.**", "**Afterwards they can**", "**Before:**", "**Stop and ask**"):
            assert part in text, (number, part)
        assert re.search(r"\*\*Minutes:\*\* \d+ to teach, \d+ to do, \d+ to discuss", text), number
        figures = re.findall(r"`(\d\d_\w+)`", text)
        assert len(figures) == 3, number
        assert set(figures) <= saved, (number, set(figures) - saved)


def test_minutes_add_up():
    text = (TEACH / "guide.md").read_text()
    parts = re.findall(r"\*\*Minutes:\*\* (\d+) to teach, (\d+) to do, (\d+) to discuss", text)
    teach, do, discuss = (sum(int(part[i]) for part in parts) for i in range(3))
    assert f"{teach} minutes to teach, {do} to do, {discuss} to discuss" in text
    assert f"{(teach + do + discuss) / 60:.0f} hours" in text


def hours(numbers: list[str]) -> float:
    """Teaching, doing and discussing, by the guide."""
    guide, pattern = sections("guide.md"), r"(\d+) to teach, (\d+) to do, (\d+) to discuss"
    return sum(int(m) for n in numbers for m in re.search(pattern, guide[n]).groups()) / 60


def test_plans_say_how_long_notebooks_take_by_the_guide():
    (ten, every) = re.search(
        r"00 to 09 take (\d+) hours and all \w+ (\d+) hours", (TEACH / "plans.md").read_text()
    ).groups()
    assert (int(ten), int(every)) == (round(hours(NUMBERS[:10])), round(hours(NUMBERS)))


def test_five_days_are_even_and_no_notebook_comes_before_what_it_needs():
    five_days = (TEACH / "plans.md").read_text().split("## Five days")[1].split("## Two tracks")[0]
    days = re.findall(r"^\| day \d \| (.+) \| (.+) \| (\d+)", five_days, flags=re.M)
    assert len(days) == 5
    guide, seen = sections("guide.md"), []
    for morning, afternoon, minutes in days:
        halves = [re.findall(r"\b\d\d\b", half) for half in (morning, afternoon)]
        for number in sum(halves, []):
            before = re.search(r"\*\*Before:\*\* (.*?)\*\*Minutes", guide[number], re.S)[1]
            assert set(re.findall(r"\b\d\d\b", before)) <= set(seen), number
            seen.append(number)
        assert int(minutes) == round(60 * hours(sum(halves, [])))
        assert max(map(hours, halves)) <= 4
    own_data = 60
    spent = [int(day[2]) for day in days[:4]] + [int(days[4][2]) + own_data]
    assert max(spent) - min(spent) <= 60


def test_guide_has_the_exercises_of_each_notebook():
    """Minutes and points as in the notebook, a word on each exercise, and time enough to do them."""
    for path in sorted((ROOT / "notebooks").glob("[0-9][0-9]_*.py")):
        asked = re.findall(r'level="(\w)" points=(\d+) minutes=(\d+)', path.read_text())
        text = sections("guide.md")[path.stem[:2]]
        told = re.search(r"\*\*Exercises\*\* \((\d+) minutes, (\d+) points\): (.*)\.", text)
        if not asked:  # its exercises are not written yet
            continue
        points, minutes = (sum(int(one[i]) for one in asked) for i in (1, 2))
        assert (int(told[1]), int(told[2])) == (minutes, points), path.stem
        parts = re.fullmatch(r"\(a\) (.+); \(b\) (.+); \(c\) (.+)", told[3]).groups()
        counts = [len(part.split("; ")) for part in parts]
        assert counts == [sum(level == letter for level, _, _ in asked) for letter in "abc"], path.stem
        assert minutes <= int(re.search(r"(\d+) to do", text)[1]), path.stem

"""Build the bundled graph ``world`` from the Unicode CLDR data that Babel ships.

The graph says which languages, currencies, scripts, time zones and customs belong to which territories.
Every label is the English CLDR name of the thing, and two different things never share a label.

Run ``python scripts/build_world.py`` to write ``train.tsv``, ``valid.tsv``, ``test.tsv`` and ``NOTICE`` into
``src/falsum/graph/world``; the result depends on the Babel version alone, and the script refuses any other one.
"""

from __future__ import annotations

import argparse
import hashlib
import re
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from datetime import date, timedelta
from functools import cache
from pathlib import Path
from typing import NamedTuple

import babel
from babel.core import Locale, get_global
from babel.localedata import locale_identifiers
from babel.numbers import get_currency_precision

BABEL_VERSION = "2.18.0"
OUT = Path(__file__).resolve().parent.parent / "src" / "falsum" / "graph" / "world"
SPLIT_SEED = "world-1"
HELD_OUT_SHARE = 0.11
TRAIN_ONLY = ("local_name", "native_name")
SPOKEN_PERCENT = 1.0
EURO = "EUR"
UNKNOWN_TERRITORY = "ZZ"

# CLDR's territory containment (the UN M49 regions). Babel does not ship that table, so it is written out here.
CONTAINMENT = {
    "001": "002 009 019 142 150",
    "002": "015 202",
    "202": "011 014 017 018",
    "009": "053 054 057 061 QO",
    "019": "003 005",
    "003": "013 021 029",
    "142": "030 034 035 143 145",
    "150": "039 151 154 155",
    "005": "AR BO BR BV CL CO EC FK GF GS GY PE PY SR UY VE",
    "011": "BF BJ CI CV GH GM GN GW LR ML MR NE NG SH SL SN TG",
    "013": "BZ CR GT HN MX NI PA SV",
    "014": "BI DJ ER ET IO KE KM MG MU MW MZ RE RW SC SO SS TF TZ UG YT ZM ZW",
    "015": "DZ EA EG EH IC LY MA SD TN",
    "017": "AO CD CF CG CM GA GQ ST TD",
    "018": "BW LS NA SZ ZA",
    "021": "BM CA GL PM US",
    "029": "AG AI AW BB BL BQ BS CU CW DM DO GD GP HT JM KN KY LC MF MQ MS PR SX TC TT VC VG VI",
    "030": "CN HK JP KP KR MN MO TW",
    "034": "AF BD BT IN IR LK MV NP PK",
    "035": "BN ID KH LA MM MY PH SG TH TL VN",
    "039": "AD AL BA ES GI GR HR IT ME MK MT PT RS SI SM VA XK",
    "053": "AU CC CX HM NF NZ",
    "054": "FJ NC PG SB VU",
    "057": "FM GU KI MH MP NR PW UM",
    "061": "AS CK NU PF PN TK TO TV WF WS",
    "143": "KG KZ TJ TM UZ",
    "145": "AE AM AZ BH CY GE IL IQ JO KW LB OM PS QA SA SY TR YE",
    "151": "BG BY CZ HU MD PL RO RU SK UA",
    "154": "AX CQ DK EE FI FO GB GG IE IM IS JE LT LV NO SE SJ",
    "155": "AT BE CH DE FR LI LU MC NL",
    "QO": "AC CP DG TA",
}
CONTINENTS = ("002", "003", "005", "009", "142", "150")
EUROPEAN_UNION = "AT BE BG CY CZ DE DK EE ES FI FR GR HR HU IE IT LT LU LV MT NL PL PT RO SE SI SK"
OUTSIDE_UNITED_NATIONS = (
    "AC AI AQ AS AW AX BL BM BQ BV CC CK CP CQ CW CX DG EA EH FK FO GF GG GI GL GP GS GU HK HM IC IM IO JE KY "
    "MF MO MP MQ MS NC NF NU PF PM PN PR PS RE SH SJ SX TA TC TF TK TW UM VA VG VI WF XK YT"
)

SCRIPT_NAMES = {"Hans": "Simplified Han", "Hant": "Traditional Han"}
SCRIPT_NOUNS = ("script", "hieroglyphs", "Hieroglyphs", "Syllabics", "shorthand", "Cuneiform", "Cursive", "SignWriting")
DIGIT_NAMES = {
    "arab": "Arabic-Indic digits",
    "arabext": "Eastern Arabic-Indic digits",
    "hanidec": "Han digits",
    "latn": "Western digits",
    "tamldec": "Tamil digits",
}
MARK_NAMES = {"\u2019": "apostrophe", "\u00a0": "space", "\u202f": "space", ".": "period"}
DATE_PARTS = {"d": "day", "M": "month", "L": "month", "y": "year"}


class Triple(NamedTuple):
    """One fact of the graph: the labels of its head, relation and tail."""

    head: str
    relation: str
    tail: str


class Tender(NamedTuple):
    """A currency's time as money of one territory, as CLDR records it."""

    currency: str
    start: date | None
    end: date | None


# --------------------------------------------------------------------------------------------------------------
# Codes: which territories, languages and locales the graph speaks about
# --------------------------------------------------------------------------------------------------------------


@cache
def english() -> Locale:
    """The English locale, which names everything."""
    return Locale("en")


@cache
def territories() -> tuple[str, ...]:
    """The territory codes that CLDR has a language record of, without the unknown one."""
    return tuple(sorted(set(get_global("territory_languages")) - {UNKNOWN_TERRITORY}))


@cache
def languages() -> tuple[str, ...]:
    """The codes of the languages that have an English name and a likely script; no regional variants."""
    likely = get_global("likely_subtags")
    return tuple(sorted(code for code in map(str, english().languages) if code in likely and "_" not in code))


@cache
def locales() -> frozenset[str]:
    """The identifiers of all locales that Babel has data for."""
    return frozenset(locale_identifiers())


def language_locales() -> Iterator[tuple[str, Locale]]:
    """Each language that has a locale of its own, with that locale."""
    for code in languages():
        if code in locales():
            yield code, Locale.parse(code)


@cache
def main_locale(territory: str) -> Locale | None:
    """The locale of the territory's likeliest language that Babel has data for, or None."""
    likely = get_global("likely_subtags").get(f"und_{territory}", f"en_Latn_{territory}")
    language, script, _ = likely.split("_")
    for identifier in (f"{language}_{territory}", f"{language}_{script}_{territory}", f"en_{territory}"):
        if identifier in locales():
            return Locale.parse(identifier)
    return None


def territory_locales() -> Iterator[tuple[str, Locale]]:
    """Each territory that has a main locale, with that locale."""
    for code in territories():
        locale = main_locale(code)
        if locale is not None:
            yield code, locale


# --------------------------------------------------------------------------------------------------------------
# Labels: the English name of each thing
# --------------------------------------------------------------------------------------------------------------


def territory_label(code: str) -> str:
    """The English name of a territory or of a region of the world."""
    return str(english().territories[code])


@cache
def language_label(code: str) -> str:
    """The English name of a language, marked as a language where a territory is called the same."""
    name = str(english().languages[code])
    return f"{name} (language)" if name in english().territories.values() else name


def script_label(code: str) -> str:
    """The English name of a script, with the word 'script' unless the name already says what it is."""
    name = SCRIPT_NAMES.get(code, str(english().scripts[code]))
    return name if name.endswith(SCRIPT_NOUNS) else f"{name} script"


def currency_label(code: str) -> str:
    """The English name of a currency."""
    return str(english().currencies[code])


def clock_time_label(meta_zone: str) -> str:
    """The English name of the time that the zones of a CLDR meta zone keep, such as 'Central European Time'."""
    names = english().meta_zones[meta_zone]["long"]
    return str(names.get("generic") or names["standard"])


def weekday_label(number: int) -> str:
    """The English name of a weekday, counted from Monday as 0."""
    return str(english().days["format"]["wide"][number])


def mark_label(text: str) -> str:
    """A written name for the character that separates digits."""
    mark = next(char for char in text if unicodedata.category(char) != "Cf")
    return MARK_NAMES.get(mark) or unicodedata.name(mark).lower().replace("arabic", "Arabic")


def digits_label(system: str) -> str:
    """The name of a set of decimal digits, such as 'Devanagari digits'."""
    return DIGIT_NAMES.get(system) or f"{english().scripts[system.title()]} digits"


# --------------------------------------------------------------------------------------------------------------
# Facts about territories
# --------------------------------------------------------------------------------------------------------------


def containment_facts() -> Iterator[Triple]:
    """located_in: the region right above a territory or region; on_continent: the continent of a territory."""
    parents = {child: parent for parent, children in CONTAINMENT.items() for child in children.split()}
    for child, parent in parents.items():
        yield Triple(territory_label(child), "located_in", territory_label(parent))
        if child in territories():
            while parent not in CONTINENTS:
                parent = parents[parent]
            yield Triple(territory_label(child), "on_continent", territory_label(parent))


def membership_facts() -> Iterator[Triple]:
    """member_of: the European Union, the Eurozone (EU members that pay in euro) and the United Nations."""
    for code in territories():
        if code in EUROPEAN_UNION.split():
            yield Triple(territory_label(code), "member_of", territory_label("EU"))
            if any(tender.currency == EURO for tender in current_tenders(code)):
                yield Triple(territory_label(code), "member_of", territory_label("EZ"))
        if code not in OUTSIDE_UNITED_NATIONS.split():
            yield Triple(territory_label(code), "member_of", territory_label("UN"))


def language_use_facts() -> Iterator[Triple]:
    """official_language and regional_language by status; speaks: spoken by at least one percent of the people."""
    for territory in territories():
        for tag, use in get_global("territory_languages")[territory].items():
            code = tag.split("_")[0]
            if code not in languages():
                continue
            place, language = territory_label(territory), language_label(code)
            if use["official_status"] in ("official", "de_facto_official"):
                yield Triple(place, "official_language", language)
            elif use["official_status"] == "official_regional":
                yield Triple(place, "regional_language", language)
            if use["population_percent"] >= SPOKEN_PERCENT:
                yield Triple(place, "speaks", language)


@cache
def tenders(territory: str) -> tuple[Tender, ...]:
    """The legal tenders of a territory that have an English name, oldest first."""
    rows = get_global("territory_currencies").get(territory, [])
    named = [
        Tender(code, date(*start) if start else None, date(*end) if end else None)
        for code, start, end, is_tender in rows
        if is_tender and code in english().currencies
    ]
    return tuple(sorted(named, key=lambda tender: (tender.start or date.min, tender.currency)))


def current_tenders(territory: str) -> list[Tender]:
    """The tenders of a territory without an end."""
    return [tender for tender in tenders(territory) if tender.end is None]


def currency_use_facts() -> Iterator[Triple]:
    """uses_currency: legal tender today; used_currency: legal tender in the past and no longer."""
    for territory in territories():
        current = {tender.currency for tender in current_tenders(territory)}
        for tender in tenders(territory):
            relation = "uses_currency" if tender.currency in current else "used_currency"
            yield Triple(territory_label(territory), relation, currency_label(tender.currency))


def time_facts() -> Iterator[Triple]:
    """has_time_zone: territory to zone; zone_keeps: zone to clock time; keeps_time: territory to clock time."""
    meta_zones = get_global("meta_zones")
    for territory in territories():
        place = territory_label(territory)
        for zone in get_global("territory_zones").get(territory, []):
            yield Triple(place, "has_time_zone", zone)
            if meta_zones.get(zone) in english().meta_zones:
                yield Triple(zone, "zone_keeps", clock_time_label(meta_zones[zone]))
                yield Triple(place, "keeps_time", clock_time_label(meta_zones[zone]))


def custom_facts() -> Iterator[Triple]:
    """How the main locale of a territory counts weeks and writes dates, times, numbers and amounts of money."""
    for territory, locale in territory_locales():
        place = territory_label(territory)
        yield Triple(place, "week_starts_on", weekday_label(locale.first_week_day))
        yield Triple(place, "weekend_starts_on", weekday_label(locale.weekend_start))
        yield Triple(place, "date_order", date_order(locale))
        yield Triple(place, "clock", "24-hour clock" if "H" in bare_time(locale) else "12-hour clock")
        yield Triple(place, "decimal_mark", mark_label(number_symbol(locale, "decimal")))
        yield Triple(place, "grouping_mark", mark_label(number_symbol(locale, "group")))
        yield Triple(place, "currency_position", currency_position(locale))


def bare_time(locale: Locale) -> str:
    """The locale's short time pattern without quoted words."""
    return re.sub("'[^']*'", "", locale.time_formats["short"].pattern)


def date_order(locale: Locale) -> str:
    """The order in which the locale's short date names its parts, such as 'day-month-year'."""
    pattern = re.sub("'[^']*'", "", locale.date_formats["short"].pattern)
    parts = dict.fromkeys(DATE_PARTS[char] for char in pattern if char in DATE_PARTS)
    return "-".join(parts)


def number_symbol(locale: Locale, name: str) -> str:
    """A symbol of the locale's numbers; CLDR takes those that its own digits do not name from the Western ones."""
    own = locale.number_symbols.get(locale.default_numbering_system, {})
    return str(own.get(name) or locale.number_symbols["latn"][name])


def currency_position(locale: Locale) -> str:
    """Where the locale puts the currency sign of an amount."""
    pattern = locale.currency_formats["standard"].pattern.split(";")[0]
    return "sign before amount" if pattern.index("\u00a4") < pattern.index("0") else "sign after amount"


def local_name_facts() -> Iterator[Triple]:
    """local_name: what a territory is called in its official languages, where that is not the English name."""
    for territory in territories():
        for tag, use in get_global("territory_languages")[territory].items():
            if tag in locales() and use["official_status"] in ("official", "de_facto_official"):
                name = Locale.parse(tag).territories.get(territory)
                if name and name != territory_label(territory):
                    yield Triple(territory_label(territory), "local_name", name)


# --------------------------------------------------------------------------------------------------------------
# Facts about languages and scripts
# --------------------------------------------------------------------------------------------------------------


def writing_facts() -> Iterator[Triple]:
    """written_in: language to script; chiefly_spoken_in and chiefly_used_in: the home of a language or script."""
    for tag, likely in get_global("likely_subtags").items():
        language, script, territory = likely.split("_")
        if language in languages() and script in english().scripts:
            key = tag.split("_")
            if key[0] == language or key == ["und", script]:
                yield Triple(language_label(language), "written_in", script_label(script))
        if territory in territories():
            if tag in languages():
                yield Triple(language_label(tag), "chiefly_spoken_in", territory_label(territory))
            if tag == f"und_{script}" and script in english().scripts:
                yield Triple(script_label(script), "chiefly_used_in", territory_label(territory))
    for identifier in sorted(locales()):
        match = re.match("([a-z]+)_([A-Z][a-z]{3})(?:_|$)", identifier)
        if match and match[1] in languages():
            yield Triple(language_label(match[1]), "written_in", script_label(match[2]))


def grammar_facts() -> Iterator[Triple]:
    """writing_direction, native_digits, and the plural categories of counts and of ranks, per language."""
    for code, locale in language_locales():
        language = language_label(code)
        yield Triple(language, "writing_direction", locale.character_order)
        yield Triple(language, "native_digits", digits_label(native_digits(locale)))
        for tag in sorted(locale.plural_form.tags):
            yield Triple(language, "plural_form", f"{tag} (plural category)")
        for tag in sorted(locale.ordinal_form.tags):
            yield Triple(language, "ordinal_form", f"{tag} (plural category)")


def native_digits(locale: Locale) -> str:
    """The CLDR numbering system of the locale's own digits."""
    return str(locale.other_numbering_systems.get("native") or locale.default_numbering_system)


def native_name_facts() -> Iterator[Triple]:
    """native_name: what a language calls itself, where that is not its English name."""
    for code, locale in language_locales():
        name = locale.languages.get(code)
        if name and name != english().languages[code]:
            yield Triple(language_label(code), "native_name", name)


# --------------------------------------------------------------------------------------------------------------
# Facts about currencies
# --------------------------------------------------------------------------------------------------------------


def currency_facts() -> Iterator[Triple]:
    """currency_decimals and currency_symbol of the currencies in use, the symbol as it is written where they are."""
    for territory in territories():
        locale = main_locale(territory)
        for tender in current_tenders(territory):
            label = currency_label(tender.currency)
            yield Triple(label, "currency_decimals", f"{get_currency_precision(tender.currency)} decimals")
            symbol = visible(locale.currency_symbols.get(tender.currency, "")) if locale else ""
            if symbol not in ("", tender.currency):
                yield Triple(label, "currency_symbol", symbol)


def visible(symbol: str) -> str:
    """A currency symbol without direction marks, and with plain spaces and plain-width characters."""
    plain = unicodedata.normalize("NFKC", symbol)
    return "".join(char for char in plain if unicodedata.category(char) != "Cf").strip()


def succession_facts() -> Iterator[Triple]:
    """replaced_by: a currency of the past and what came after it where it was used in its last two years."""
    lines = [tenders(territory) for territory in territories()]
    ends: dict[str, date] = defaultdict(lambda: date.min)
    for tender in (tender for line in lines for tender in line):
        ends[tender.currency] = max(ends[tender.currency], tender.end or date.max)
    for line in lines:
        for old in line:
            heirs = [new for new in line if is_successor(old, new)]
            if heirs and old.end and ends[old.currency] - old.end <= timedelta(days=2 * 366):
                yield Triple(currency_label(old.currency), "replaced_by", currency_label(heirs[0].currency))


def is_successor(old: Tender, new: Tender) -> bool:
    """Whether ``new`` came after ``old`` and at most one year after, or four years before, the end of ``old``."""
    if old.end is None or old.start is None or new.start is None or new.currency == old.currency:
        return False
    return old.start < new.start and -4 * 366 <= (new.start - old.end).days <= 366


# --------------------------------------------------------------------------------------------------------------
# The graph: all facts, split in three
# --------------------------------------------------------------------------------------------------------------


def world() -> list[Triple]:
    """All facts of the graph, sorted, each once; a native name that is some other thing's label is left out."""
    facts = {
        *containment_facts(),
        *membership_facts(),
        *language_use_facts(),
        *currency_use_facts(),
        *time_facts(),
        *custom_facts(),
        *writing_facts(),
        *grammar_facts(),
        *currency_facts(),
        *succession_facts(),
    }
    labels = {label for fact in facts for label in (fact.head, fact.tail)}
    names = {fact for fact in (*local_name_facts(), *native_name_facts()) if fact.tail not in labels}
    return sorted(facts | names)


def rank(*parts: str) -> str:
    """A pseudo-random sort key that depends on the split's seed and the given text alone."""
    return hashlib.sha256("\t".join((SPLIT_SEED, *parts)).encode()).hexdigest()


def split(facts: Iterable[Triple]) -> dict[str, list[Triple]]:
    """Share the facts out to train, valid and test.

    All facts about one pair of entities, in either direction, go to the same part, so that no held-out fact can
    be read off a training fact about the same two things. Each relation gives at most its share to valid and to
    test, and every entity keeps at least one fact in train. Names in other languages are all in train: nearly
    every one of them occurs in a single fact, so nothing could predict it.
    """
    by_pair: dict[tuple[str, str], list[Triple]] = defaultdict(list)
    for fact in facts:
        first, second = sorted((fact.head, fact.tail))
        by_pair[first, second].append(fact)
    sizes = Counter(fact.relation for group in by_pair.values() for fact in group)
    kept = Counter(label for pair, group in by_pair.items() for label in pair for _ in group)
    parts: dict[str, list[Triple]] = {"train": [], "valid": [], "test": []}
    held: dict[str, Counter[str]] = {"valid": Counter(), "test": Counter()}
    for pair in sorted(by_pair, key=lambda pair: rank(*pair)):
        group = by_pair[pair]
        part = "train"
        if all(kept[label] > len(group) for label in pair) and group[0].relation not in TRAIN_ONLY:
            for name in sorted(held, key=lambda name: rank(name, *pair)):
                if all(held[name][fact.relation] < int(HELD_OUT_SHARE * sizes[fact.relation]) for fact in group):
                    part = name
                    held[name].update(fact.relation for fact in group)
                    kept.subtract({label: len(group) for label in pair})
                    break
        parts[part].extend(group)
    return {name: sorted(part) for name, part in parts.items()}


def notice() -> str:
    """The notice that goes with the data: where it comes from, and Unicode's licence as Babel ships it."""
    licence = (Path(babel.__file__).parent / "locale-data" / "LICENSE.unicode").read_text(encoding="utf-8")
    return (
        "The graph `world` (train.tsv, valid.tsv, test.tsv)\n\n"
        f"The facts are Unicode CLDR {get_global('cldr')['version']} data, read from Babel {babel.__version__} and\n"
        "rearranged as head, relation, tail by scripts/build_world.py. Three tables that Babel does not ship (the\n"
        "regions of the world, and the members of the European Union and of the United Nations, which CLDR lists as\n"
        "territory containment) are written out in that script. Which currency replaced which is worked out there\n"
        "from the dates in CLDR. Names, borders and memberships are those of CLDR; falsum takes no position on "
        "them.\n\n"
        "CLDR data is used under the Unicode License V3:\n\n"
        f"{licence.strip()}\n"
    )


def write(out: Path) -> dict[str, list[Triple]]:
    """Write the three parts and the notice into the folder ``out``, and return the parts."""
    out.mkdir(parents=True, exist_ok=True)
    parts = split(world())
    for name, part in parts.items():
        (out / f"{name}.tsv").write_bytes("".join("\t".join(fact) + "\n" for fact in part).encode())
    (out / "NOTICE").write_bytes(notice().encode())
    return parts


def summary(parts: dict[str, list[Triple]]) -> str:
    """The number of facts per relation and part, and of entities and relations."""
    everything = [fact for part in parts.values() for fact in part]
    counts = {name: Counter(fact.relation for fact in part) for name, part in parts.items()}
    lines = [f"{'relation':20}" + "".join(f"{name:>8}" for name in parts)]
    for relation in sorted({fact.relation for fact in everything}):
        lines.append(f"{relation:20}" + "".join(f"{counts[name][relation]:8}" for name in parts))
    lines.append(f"{'all':20}" + "".join(f"{len(part):8}" for part in parts.values()))
    entities = {label for fact in everything for label in (fact.head, fact.tail)}
    lines.append(f"{len(everything)} facts, {len(entities)} entities, {len(lines) - 2} relations")
    return "\n".join(lines)


def main() -> None:
    """Write the graph and print its summary."""
    parser = argparse.ArgumentParser(description="Build the bundled graph `world` from Babel's CLDR data.")
    parser.add_argument("--out", type=Path, default=OUT, help="folder to write into (default: %(default)s)")
    arguments = parser.parse_args()
    if babel.__version__ != BABEL_VERSION:
        parser.error(f"needs Babel {BABEL_VERSION}, but Babel {babel.__version__} is installed")
    print(summary(write(arguments.out)))


if __name__ == "__main__":
    main()

"""Writes launches.json: the operations of each case of test_cycle.py, if they are fewer than there or new."""

import json
import re
import sys
from pathlib import Path
from xml.etree import ElementTree

TABLE = Path(__file__).with_name("launches.json")


def main(report: str) -> None:
    table = json.loads(TABLE.read_text()) if TABLE.exists() else {}
    for case in ElementTree.parse(report).iter("testcase"):
        for counted in case.iterfind("properties/property[@name='launches']"):
            name = re.sub(r".*\[(.*)\]", r"\1", case.attrib["name"])
            table[name] = min(int(counted.attrib["value"]), table.get(name, sys.maxsize))
    TABLE.write_text(json.dumps(table, indent=1, sort_keys=True) + "\n")


if __name__ == "__main__":
    main(sys.argv[1])

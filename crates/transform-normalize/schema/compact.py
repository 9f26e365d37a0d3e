#!/usr/bin/env python3
"""Cuts the compiled OCSF schema down to the facts that mappings are proven against.

    compact.py schema.json > ocsf-1.8.0.json

schema.json is the single-file output of ocsf/ocsf-schema-compiler for the released schema
(repository ocsf/ocsf-schema, tag 1.8.0, Apache-2.0). Descriptions, references and sources are left
out; equal enums and equal attributes are written once and referred to by their index.
"""
import json
import sys


def pooled(pool, index, value):
    key = json.dumps(value, sort_keys=True)
    if key not in index:
        index[key] = len(pool)
        pool.append(value)
    return index[key]


def main():
    with open(sys.argv[1], encoding="utf-8") as file:
        schema = json.load(file)
    enums, enum_index, attributes, attribute_index = [], {}, [], {}

    def attribute(definition):
        entry = {"t": definition["type"]}
        if definition.get("object_type"):
            entry["o"] = definition["object_type"]
        if definition.get("is_array"):
            entry["a"] = True
        if definition.get("sibling"):
            entry["s"] = definition["sibling"]
        if definition.get("profiles"):
            entry["p"] = definition["profiles"]
        if definition.get("enum"):
            captions = {key: value["caption"] for key, value in definition["enum"].items()}
            entry["e"] = pooled(enums, enum_index, captions)
        return [pooled(attributes, attribute_index, entry),
                {"required": 2, "recommended": 1}.get(definition.get("requirement"), 0)]

    def item(definition, keys):
        entry = {key: definition[key] for key in keys if definition.get(key) not in (None, {}, [])}
        entry["attributes"] = {name: attribute(value) for name, value in definition["attributes"].items()}
        return entry

    classes = {name: item(value, ["uid", "caption", "category_uid", "category_name", "profiles", "constraints"])
               for name, value in sorted(schema["classes"].items()) if "uid" in value}
    objects = {name: item(value, ["constraints"]) for name, value in sorted(schema["objects"].items())}
    types = {}
    for name, value in sorted(schema["dictionary"]["types"]["attributes"].items()):
        types[name] = {key: value[key] for key in ("type", "max_len", "range") if key in value}

    def lines(name, pool):
        entries = pool.items() if isinstance(pool, dict) else [(None, value) for value in pool]
        rows = []
        for key, value in entries:
            text = json.dumps(value, separators=(",", ":"), ensure_ascii=False)
            rows.append(text if key is None else json.dumps(key) + ":" + text)
        brackets = "{}" if isinstance(pool, dict) else "[]"
        return '"%s":%s\n%s\n%s' % (name, brackets[0], ",\n".join(rows), brackets[1])

    parts = ['"version":%s' % json.dumps(schema["version"]),
             '"source":"ocsf/ocsf-schema, tag 1.8.0, compiled by ocsf/ocsf-schema-compiler 0.9.2; Apache-2.0"']
    parts += [lines(*pair) for pair in (("types", types), ("enums", enums), ("attributes", attributes),
                                        ("objects", objects), ("classes", classes))]
    sys.stdout.write("{" + ",\n".join(parts) + "}\n")


if __name__ == "__main__":
    main()

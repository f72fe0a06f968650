#!/usr/bin/python3
"""マシンの作り方 (machines/, .devcontainer/) を、書式、スキーマ、ShellCheck で調べる。

  check.py SCHEMA   SCHEMA は、cloud-init のパッケージにある schema-cloud-config-v1.json

起動はしない。Lima と devcontainer は、ここで使うキーだけをスキーマにしてある。キーを足したら、
下の表にも足す。
"""
import json
import os
import subprocess
import sys
import warnings

import jsonschema
import yaml

TOP = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
STRING = {'type': 'string', 'minLength': 1}
BOOLEAN = {'type': 'boolean'}


def table(required, **properties):
    """決まったキーだけを持つもの。required は空白で区切る。"""
    return {'type': 'object', 'properties': properties, 'additionalProperties': False,
            'required': required.split()}


def several(item, **more):
    return {'type': 'array', 'items': item, 'minItems': 1, **more}


# 仕様: https://containers.dev/implementors/json_reference/
DEVCONTAINER = table(
    'image remoteUser privileged runArgs postCreateCommand',
    name=STRING, image=STRING, remoteUser=STRING, privileged={'const': True},
    runArgs=several(STRING, contains={'const': '--cgroupns=host'}),
    postCreateCommand=STRING,
    customizations=table('vscode', vscode=table(
        '', extensions=several({'type': 'string', 'pattern': r'^[\w-]+\.[\w-]+$'}),
        settings={'type': 'object'})))

# 仕様: limactl の templates/default.yaml
SIZE = {'type': 'string', 'pattern': '^[0-9]+GiB$'}
LIMA = table(
    'images mounts containerd provision',
    minimumLimaVersion={'type': 'string', 'pattern': r'^\d+\.\d+\.\d+$'},
    images=several(table(
        'location arch',
        location={'type': 'string', 'pattern': r'^https://cloud\.debian\.org/.*-13-.*\.qcow2$'},
        arch={'enum': ['x86_64', 'aarch64']}), minItems=2),
    cpus={'type': 'integer', 'minimum': 1}, memory=SIZE, disk=SIZE,
    mounts={'type': 'array'},
    containerd=table('system user', system=BOOLEAN, user=BOOLEAN),
    provision=several(table(
        'mode script', mode={'enum': ['system', 'user', 'boot', 'dependency']},
        script={'type': 'string', 'pattern': '^#!/bin/sh\n'})))

problems = []


def problem(name, text):
    problems.append(f'{name}: {text}')


def check_schema(name, data, schema):
    validator = jsonschema.validators.validator_for(schema)(schema)
    for error in validator.iter_errors(data):
        problem(name, f'{"/".join(map(str, error.path)) or "top"}: {error.message}')


def check_script(name, script):
    done = subprocess.run(['shellcheck', '-s', 'sh', '-'], input=script, text=True,
                          stdout=subprocess.PIPE, check=False)
    if done.returncode:
        problem(name, done.stdout.strip())


def read(name):
    with open(f'{TOP}/{name}', encoding='utf-8') as file:
        return file.read()


def unique(pairs):
    keys = [key for key, _ in pairs]
    for key in {key for key in keys if keys.count(key) > 1}:
        raise ValueError(f'duplicate key: {key}')
    return dict(pairs)


class UniqueLoader(yaml.SafeLoader):
    """同じキーが 2 度あれば断る。YAML 1.2 の 3.2.1.3"""

    def construct_mapping(self, node, deep=False):
        return unique([(self.construct_object(key, deep=True),
                        self.construct_object(value, deep=True)) for key, value in node.value])


def devcontainer(name):
    data = json.loads(read(name), object_pairs_hook=unique)
    check_schema(name, data, DEVCONTAINER)
    check_script(name, data.get('postCreateCommand', ''))


def lima(name):
    data = yaml.load(read(name), Loader=UniqueLoader)
    check_schema(name, data, LIMA)
    if {image.get('arch') for image in data.get('images', [])} != {'x86_64', 'aarch64'}:
        problem(name, 'images: both architectures are needed')
    for step in data.get('provision', []):
        check_script(name, step.get('script', ''))


def cloud_init(name, schema):
    text = read(name)
    if not text.startswith('#cloud-config\n'):
        problem(name, 'the first line is not #cloud-config')
    data = yaml.load(text, Loader=UniqueLoader)
    with open(schema, encoding='utf-8') as file:
        rules = json.load(file)
    check_schema(name, data, rules)
    # 古い版のスキーマは、一番上の知らないキーを断らない
    known = {key for part in rules['$defs'].values() for key in part.get('properties', {})}
    for key in data.keys() - known:
        problem(name, f'{key}: unknown key')
    for file in data.get('write_files', []):
        if file.get('content', '').startswith('#!'):
            check_script(name, file['content'])


def main():
    if len(sys.argv) != 2:
        sys.exit('usage: check.py SCHEMA')
    warnings.simplefilter('ignore')
    for name, check in (('.devcontainer/devcontainer.json', devcontainer),
                        ('machines/lima.yaml', lima),
                        ('machines/cloud-init.yaml', lambda name: cloud_init(name, sys.argv[1]))):
        try:
            check(name)
        except (ValueError, yaml.YAMLError) as error:
            problem(name, error)
    if problems:
        print(*problems, sep='\n', file=sys.stderr)
        sys.exit('  ヒント: machines/check.py のスキーマと比べてください')


main()

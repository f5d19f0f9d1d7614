"""Writes down which definitions of joulegrid a job executes.

Python imports a module of this name at its start, where its folder is on PYTHONPATH. Modules of
joulegrid are then compiled with a note at the begin of every function, and in every lambda and
comprehension: a profile function would be called for those of all libraries too, which takes longer
than the job. At the end the job's command line and the lines that were noted are written into the
folder TRACES. Functions that only describe (`FACTS`), and what they call, are left out: nothing
they say is a number of a result.
"""

import ast
import atexit
import builtins
import json
import os
import sys
import uuid
from importlib.machinery import SourceFileLoader

FACTS = {"describe", "memory", "verify", "zero_share"}
ROOM = os.sep + os.path.join("scripts", "joulegrid") + os.sep
NOTE = "__executed__"
executed: set[tuple[str, int]] = set()
as_ever = SourceFileLoader.get_code


def note(path, line):
    """Keep that what begins in this line runs, unless somebody describes."""
    if (path, line) not in executed and not describing():
        executed.add((path, line))


def describing():
    """Whether what is noted is, or is called by, a function that only describes."""
    frame = sys._getframe(2)
    while frame is not None:
        if frame.f_code.co_name in FACTS and ROOM in frame.f_code.co_filename:
            return True
        frame = frame.f_back
    return False


class Noting(ast.NodeTransformer):
    """Puts the notes in. A note is None, so `note or x` is x."""

    def __init__(self, path):
        self.path = path

    def call(self, node):
        arguments = [ast.Constant(self.path), ast.Constant(node.lineno)]
        return ast.Call(ast.Name(NOTE, ast.Load()), arguments, [])

    def before(self, node, name):
        """The node, with a note before its expression of this name."""
        self.generic_visit(node)
        setattr(node, name, ast.BoolOp(ast.Or(), [self.call(node), getattr(node, name)]))
        return node

    def visit_FunctionDef(self, node):
        self.generic_visit(node)
        after = int(ast.get_docstring(node, clean=False) is not None)
        node.body.insert(after, ast.Expr(self.call(node)))
        return node

    visit_AsyncFunctionDef = visit_FunctionDef

    def visit_Lambda(self, node):
        return self.before(node, "body")

    def visit_ListComp(self, node):
        return self.before(node, "elt")

    visit_SetComp = visit_GeneratorExp = visit_ListComp

    def visit_DictComp(self, node):
        return self.before(node, "key")


def get_code(self, name):
    """The code of a module: with notes if it is of joulegrid."""
    path = self.get_filename(name)
    if ROOM not in path:
        return as_ever(self, name)
    tree = Noting(path).visit(ast.parse(self.get_data(path)))
    return compile(ast.fix_missing_locations(tree), path, "exec", dont_inherit=True)


def write():
    """Leave what was seen in a file of its own."""
    folder = os.environ["TRACES"]
    with open(os.path.join(folder, f"{uuid.uuid4()}.json"), "w", encoding="utf-8") as file:
        json.dump({"arguments": sys.argv, "executed": sorted(executed)}, file)


def watch():
    """From now on, note what runs of modules that are imported from now on."""
    setattr(builtins, NOTE, note)
    SourceFileLoader.get_code = get_code
    atexit.register(write)


if "--output" in sys.orig_argv and "TRACES" in os.environ:
    watch()

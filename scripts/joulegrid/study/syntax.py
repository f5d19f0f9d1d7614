"""Syntax trees of source files without what computes nothing, and the names that they mention."""

import ast

# Functions of any room that say what was made or what ran
FACTS = frozenset({"describe", "memory", "verify", "zero_share"})


def bound(statement: ast.stmt) -> list[str]:
    """The names that a statement at the top of a module binds."""
    if isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        return [statement.name]
    return [
        n.id
        for n in ast.walk(statement)
        if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)
    ]


def is_text(statement: ast.stmt) -> bool:
    """Whether a statement is a docstring, or another text that stands alone."""
    return isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant)


def collect(node: ast.AST, found: list[tuple[str, list[str]]]) -> None:
    """Add to `found` every name that a tree mentions, with the attributes behind it."""
    attributes: list[str] = []
    while isinstance(node, ast.Attribute):
        attributes.insert(0, node.attr)
        node = node.value
    if isinstance(node, ast.Name):
        found.append((node.id, attributes))
        return
    for name in node._fields:
        child = getattr(node, name, None)
        if isinstance(child, ast.AST):
            collect(child, found)
        elif isinstance(child, list):
            for each in child:
                if isinstance(each, ast.AST):
                    collect(each, found)


def names_and_imports(tree: ast.AST) -> tuple[set[str], list[ast.Import | ast.ImportFrom]]:
    """All names in a tree, and its imports wherever they stand; in half the time of ast.walk."""
    names: set[str] = set()
    imports: list[ast.Import | ast.ImportFrom] = []
    todo = [tree]
    while todo:
        node = todo.pop()
        if isinstance(node, ast.Name):
            names.add(node.id)
            continue
        if isinstance(node, ast.Import | ast.ImportFrom):
            imports.append(node)
        for name in node._fields:
            child = getattr(node, name, None)
            if isinstance(child, list):
                todo += [each for each in child if isinstance(each, ast.AST)]
            elif isinstance(child, ast.AST):
                todo.append(child)
    return names, sorted(imports, key=lambda node: node.lineno)


def clean(statement: ast.stmt, plumbing: set[str]) -> ast.stmt:
    """A statement without what computes nothing; `plumbing`: names that lead to plumbing."""
    return _Clean(plumbing).visit(statement)


class _Clean(ast.NodeTransformer):
    def __init__(self, plumbing: set[str]):
        self.plumbing = plumbing

    def _body(self, node):
        node.body = [inner for inner in node.body if not is_text(inner)] or [ast.Pass()]
        return self.generic_visit(node)

    def visit_FunctionDef(self, node):
        node.returns = None
        return self._body(node)

    visit_AsyncFunctionDef = visit_FunctionDef

    def visit_ClassDef(self, node):
        node.body = [
            i for i in node.body if not (isinstance(i, ast.FunctionDef) and i.name in FACTS)
        ]
        return self._body(node)

    def visit_arg(self, node):
        node.annotation = None
        return node

    def visit_AnnAssign(self, node):
        node.annotation = ast.Constant(None)
        return self.generic_visit(node)

    def visit_Raise(self, node):
        if isinstance(node.exc, ast.Call):
            node.exc = node.exc.func
        node.cause = None
        return self.generic_visit(node)

    def visit_Assert(self, node):
        node.msg = None
        return self.generic_visit(node)

    def visit_Expr(self, node):
        call = node.value
        if isinstance(call, ast.Call):
            name = call.func
            while isinstance(name, ast.Attribute):
                name = name.value
            if isinstance(name, ast.Name) and name.id in self.plumbing:
                return ast.Pass()
        return self.generic_visit(node)


def canonical(node: object) -> str:
    """A syntax tree as text without what is empty: ast.dump differs between versions of Python,
    this does not.
    """
    if isinstance(node, ast.AST):
        inner = []
        for name in node._fields:
            value = getattr(node, name, None)
            if value is not None and value != []:
                inner.append(f"{name}={canonical(value)}")
        return f"{type(node).__name__}({','.join(inner)})"
    if isinstance(node, list):
        return "[" + ",".join([canonical(each) for each in node]) + "]"
    return repr(node)

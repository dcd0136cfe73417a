"""The template as written: where things stand in it, and the comments beside them."""

import yaml


class Source:
    """The text of a template, and the line of each of its nodes."""

    def __init__(self, text):
        self.lines = text.splitlines()
        self.root = yaml.compose(text, Loader=yaml.SafeLoader)
        self.resources = _mapping(_mapping(self.root).get("Resources"))

    def line(self, path):
        """The line of a path of the translated template, or of what of it is in the source; 1 for what is not."""
        path = list(path)
        if len(path) > 1 and path[0] == "Resources":
            path[1] = self.written(path[1])
        node, line = self.root, 1
        for step in path:
            key, node = _child(node, step)
            if node is None:
                break
            line = (key or node).start_mark.line + 1
        return line

    def written(self, logical_id):
        """The resource of the source that a translated one comes from: itself, or the one whose name begins its own."""
        if logical_id in self.resources:
            return logical_id
        return max((name for name in self.resources if logical_id.startswith(name)), key=len, default=logical_id)

    def node(self, path):
        """The node at a path, if there is one."""
        node = self.root
        for step in path:
            _, node = _child(node, step)
            if node is None:
                return None
        return node

    def commented(self, node):
        """Whether a comment stands directly above a node, or within its lines."""
        first, last = node.start_mark.line, node.end_mark.line
        # A block node ends where the next token begins, which is after the comments of what follows.
        while last - 1 > first and self._blank(last - 1):
            last -= 1
        above = first - 1
        # An anchor, or a dash alone, may stand on the line before.
        while above >= 0 and self.lines[above].strip().startswith(("- &", "&")) and not self._comment(above):
            above -= 1
        within = range(first, max(last, first + 1))
        return self._comment(above) or any("# " in self.lines[line] for line in within)

    def _comment(self, line):
        return line >= 0 and self.lines[line].lstrip().startswith("#")

    def _blank(self, line):
        return line >= len(self.lines) or not self.lines[line].strip() or self._comment(line)


def _mapping(node):
    if not isinstance(node, yaml.MappingNode):
        return {}
    return {key.value: value for key, value in node.value}


def _child(node, step):
    if isinstance(node, yaml.MappingNode):
        return next(((key, value) for key, value in node.value if key.value == str(step)), (None, None))
    if isinstance(node, yaml.SequenceNode) and isinstance(step, int) and step < len(node.value):
        return None, node.value[step]
    return None, None

"""Choose the arrays of an .npz by their usual names: x and y, or x_train, y_train, x_test, y_test, and similar ones."""

import re
from pathlib import Path

from numpy.typing import NDArray

from minivae.data.formats import Damaged, read_npz
from minivae.data.raw import Raw, Reading, converted_name

PARTS = {"train": "train", "training": "train", "test": "test", "testing": "test", "val": "val", "valid": "val",
         "validation": "val", "dev": "val"}                 # fmt: skip
FEATURES = ("x", "images", "image", "imgs", "img", "data", "features", "pixels", "inputs", "input",
            "embeddings", "embedding", "samples", "vectors", "set", "arr0")     # an earlier name has priority
LABELS = ("y", "labels", "label", "targets", "target", "classes", "class", "arr1")

Arrays = dict[str, NDArray]


def read_archive(path: Path, how: Reading) -> Raw:
    """Read the arrays with usual names: x, y; x_train, y_train, x_test, y_test; train_images; arr_0; and so on."""
    arrays = read_npz(path)
    if how.older:                                           # older versions of minivae read only x and y
        return Raw(arrays["x"], arrays.get("y")) if "x" in arrays else by_name(path, arrays, how)
    return by_name(path, arrays, how)


def by_name(path: Path, arrays: Arrays, how: Reading) -> Raw:
    """Find x and y by their usual names, and return them. The held-out set is the test set, or else the validation set."""
    roles = roles_of(arrays)
    part = "train" if ("x", "train") in roles else ""
    if how.label in arrays:                                 # --label may be the name of an array
        role = role_of(how.label)
        roles["y", (role and role[0]) or part] = how.label
    if not any(kind == "x" for kind, _ in roles):
        wide = [name for name, array in arrays.items() if array.ndim >= 2 and array.dtype.kind in "buif"]
        if len(wide) != 1 or len(arrays) > 1:
            raise Damaged(unknown(path, arrays))
        roles["x", ""] = wide[0]                            # a single array may have any name
    if how.label is not None and how.label not in arrays and ("y", part) in roles:
        labels = roles["y", part]
        known = f"--label {how.label} is not one of the arrays {', '.join(arrays)}"
        raise Damaged(f"{known}; the labels are in {labels}. Leave --label out.")
    if ("x", part) not in roles:
        raise Damaged(unknown(path, arrays))
    held = next((one for one in ("test", "val") if ("x", one) in roles), None)
    chosen = {key: roles.get(key) for key in (("x", part), ("y", part), ("x", held), ("y", held))}
    x, y, test_x, test_y = (None if name is None else arrays[name] for name in chosen.values())
    if held is not None and (y is None) != (test_y is None):
        raise Damaged(f"both the training and the test rows need labels, or neither; there are {', '.join(sorted(arrays))}.")
    used = [name for name in chosen.values() if name is not None]
    rest = [name for name in arrays if name not in used]
    notes = [f"arrays not used: {', '.join(rest)}"] if rest else []
    alone = {"x": chosen["x", part]} if held is None else {"x_train": chosen["x", part], "x_test": chosen["x", held]}
    kept = ", ".join(f"{role}=a[{name!r}]" for role, name in alone.items())
    new = str(converted_name(path, ".npz"))
    line = f"Without labels, in Python: import numpy as np; a = np.load({str(path)!r}); np.savez({new!r}, {kept})"
    return Raw(x, y, test_x, test_y, notes=[f"arrays used: {', '.join(used)}", *notes], unlabelled=line)


def role_of(name: str) -> tuple[str, str, int] | None:
    """Return (part, "x" or "y", priority) for a usual name, None for any other name.

    `part` is "train", "test", "val" or "" (no part in the name). The priority 0 is the highest.
    """
    text = re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name).lower().replace("arr_", "arr")
    words = [word for word in re.split(r"[_\-. /]+", text) if word]
    part = [PARTS[word] for word in words if word in PARTS]
    rest = [word for word in words if word not in PARTS]
    if len(rest) == 1 and not part:                         # for example xtrain, trainx
        glued = re.fullmatch(r"(x|y)(train|test|val)|(train|test|val)(x|y)", rest[0])
        if glued:
            kind, at = glued[1] or glued[4], glued[2] or glued[3]
            return at, kind, 0
    if len(rest) != 1 or len(part) > 1 or rest[0] not in FEATURES + LABELS:
        return None
    kind, known = ("x", FEATURES) if rest[0] in FEATURES else ("y", LABELS)
    return part[0] if part else "", kind, known.index(rest[0])


def roles_of(arrays: Arrays) -> dict[tuple[str, str], str]:
    """Return {("x" or "y", part): name of an array}. The part is "train", "test", "val" or "" (no part in the name).

    Several arrays can have the same key: for example, "data" and "images". Then the name that comes first in FEATURES or
    LABELS is used.
    """
    found = {}
    for name in arrays:
        role = role_of(name)
        if role is not None:
            part, kind, priority = role
            key = (priority, name.lower() != name, name)
            found[kind, part] = min(found.get((kind, part), key), key)
    return {place: key[-1] for place, key in found.items()}


def unknown(path: Path, arrays: Arrays) -> str:
    """Return an error message: the archive has no array of training data with a usual name.

    If arrays of the archive have two or more axes, Python code in the message saves the largest of these arrays as x.
    """
    shapes = ", ".join(f"{name} {array.shape}" for name, array in arrays.items())
    known = "an .npz of data has an array x (and y for labels), or x_train, y_train, x_test, y_test"
    wide = sorted((name for name, array in arrays.items() if array.ndim >= 2), key=lambda name: -arrays[name].size)
    if not wide:
        return f"{known}; this one has {shapes or 'no array'}."
    x, new = wide[0], str(converted_name(path, ".npz"))
    y = next((name for name, array in arrays.items() if array.ndim == 1 and len(array) == len(arrays[x])), None)
    labels = f", y=a[{y!r}]" if y is not None else ""
    lines = f"import numpy as np; a = np.load({str(path)!r})\n  np.savez({new!r}, x=a[{x!r}]{labels})"
    return f"{known}; this one has {shapes}. In Python:\n  {lines}"

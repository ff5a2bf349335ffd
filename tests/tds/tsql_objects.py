"""What a database of the model holds."""
import copy
import itertools
import struct

from tds_types import DEFAULT_COLLATION, BadValue, Collation, Type

SYSTEM_TYPES = {"image": 34, "text": 35, "uniqueidentifier": 36, "date": 40, "time": 41, "datetime2": 42, "datetimeoffset": 43, "tinyint": 48,
                "smallint": 52, "int": 56, "smalldatetime": 58, "real": 59, "money": 60, "datetime": 61, "float": 62, "sql_variant": 98,
                "ntext": 99, "bit": 104, "decimal": 106, "numeric": 108, "smallmoney": 122, "bigint": 127, "hierarchyid": 240,
                "geometry": 240, "geography": 240, "varbinary": 165, "varchar": 167, "binary": 173, "char": 175, "timestamp": 189,
                "nvarchar": 231, "sysname": 231, "nchar": 239, "xml": 241}
USER_TYPES = {**SYSTEM_TYPES, "hierarchyid": 128, "geometry": 129, "geography": 130, "sysname": 256}
PRECISIONS = {"bit": (1, 0), "tinyint": (3, 0), "smallint": (5, 0), "int": (10, 0), "bigint": (19, 0), "real": (24, 0), "float": (53, 0),
              "money": (19, 4), "smallmoney": (10, 4), "datetime": (23, 3), "smalldatetime": (16, 0), "date": (10, 0)}
GUIDS = itertools.count(0x5eed0001)
CLOCK_LENGTH = {"time": 8, "datetime2": 19, "datetimeoffset": 26}
FIXED_SCHEMAS = {"dbo": 1, "guest": 2, "INFORMATION_SCHEMA": 3, "sys": 4, "db_owner": 16384, "db_accessadmin": 16385,
                 "db_securityadmin": 16386, "db_ddladmin": 16387, "db_backupoperator": 16389, "db_datareader": 16390,
                 "db_datawriter": 16391, "db_denydatareader": 16392, "db_denydatawriter": 16393}


def precision_scale(t):
    """As sys.columns has them."""
    if t.name in ("decimal", "numeric"):
        return t.precision, t.scale
    if t.name in CLOCK_LENGTH:
        return CLOCK_LENGTH[t.name] + (t.scale + 1 if t.scale else 0), t.scale
    return PRECISIONS.get(t.name, (0, 0))


class Item:
    """An object of sys.objects."""

    def __init__(self, kind, schema, name, parent=0, **more):
        self.kind, self.schema, self.name, self.parent, self.id = kind, schema, name, parent, 0
        self.__dict__.update(more)


class TableColumn:
    def __init__(self, number, name, type_, nullable, **more):
        self.number, self.name, self.type, self.nullable = number, name, type_, nullable
        self.identity = self.computed = self.mask = self.default = self.user_type = self.computed_function = None
        self.replication = self.rowguid = self.sparse = self.persisted = self.hidden = self.column_set = False
        self.generated = 0
        self.__dict__.update(more)

    @property
    def source(self):
        return None


class Table(Item):
    def __init__(self, schema, name, kind="U"):
        super().__init__(kind, schema, name)
        self.columns, self.rows, self.indexes, self.statistics = [], [], [], []
        self.last_identity = None
        self.fresh = True  # nothing was ever inserted: the next identity is the reseed value itself
        self.lock, self.compression, self.numbers = "TABLE", "NONE", itertools.count(1)
        self.ansi_nulls = True

    @property
    def fields(self):
        return [FieldOf(c) for c in self.columns]

    def column(self, name):
        for c in self.columns:
            if c.name.lower() == name.lower():
                return c
        raise BadValue(1911, f"Column name '{name}' does not exist in the target table or view.")

    def position(self, name):
        return self.columns.index(self.column(name))

    def add_index(self, **index):
        clustered = index.get("clustered")
        if clustered and any(i["type"] in (1, 5) for i in self.indexes):
            raise BadValue(1902, f"Cannot create more than one clustered index on table '{self.name}'.")
        if any(i["name"].lower() == index["name"].lower() for i in self.indexes):
            raise BadValue(1913, f"The operation failed because an index or statistics with name '{index['name']}' already exists on table '{self.name}'.")
        number = 1 if clustered else max([1] + [i["id"] for i in self.indexes]) + 1
        whole = {"unique": False, "primary": False, "constraint": False, "included": [], "filter": None, "options": {}, "disabled": False,
                 "columns": [], "secondary": None, "using": None, "scheme": None, **index, "id": number}
        self.indexes.append(whole)
        self.indexes.sort(key=lambda i: i["id"])
        return whole

    def __deepcopy__(self, memo):
        new = copy.copy(self)
        memo[id(self)] = new
        new.columns = [copy.copy(c) for c in self.columns]
        new.rows = list(self.rows)
        new.indexes = [dict(i, columns=list(i["columns"])) for i in self.indexes]
        new.statistics = list(self.statistics)
        return new


class FieldOf:
    """A table's column as a query sees it."""

    __slots__ = ("name", "type", "nullable", "identity", "computed")

    def __init__(self, c):
        self.name, self.type, self.nullable = c.name, c.type, c.nullable
        self.identity, self.computed = bool(c.identity), bool(c.computed)


class File:
    """Of a database: "D" of data or "L" of the log; sizes in pages of 8 KB."""

    def __init__(self, name, kind, path, size, growth, percent=False, maximum=-1):
        self.name, self.kind, self.path, self.size, self.growth, self.percent, self.maximum = name, kind, path, size, growth, percent, maximum


class Database:
    def __init__(self, name, number, collation=None):
        self.name, self.number, self.collation = name, number, collation or DEFAULT_COLLATION
        Collation.of(self.collation)
        self.state, self.access, self.snapshot_of = "ONLINE", "MULTI_USER", None
        self.files = [File(name, "D", f"/var/opt/mssql/data/{name}.mdf", 1024, 8192), File(name + "_log", "L", f"/var/opt/mssql/data/{name}_log.ldf", 4096, 16384)]
        self.differential_base = None  # backups that are no copies
        self.made = (737790, 300 * number)
        self.guid = struct.pack("<IHH8s", next(GUIDS), number, 0x4e4f, b"PSNAPTST")  # of its first file
        self.options = {"RECOVERY": "FULL", "PAGE_VERIFY": "CHECKSUM", "COMPATIBILITY_LEVEL": 150, "PARAMETERIZATION": "SIMPLE",
                        "CURSOR_DEFAULT": "GLOBAL", "AUTO_CREATE_STATISTICS": True, "AUTO_UPDATE_STATISTICS": True, "READ_ONLY": False,
                        "BROKER": False}
        self.scoped = {}
        self.next_id = 100
        self.next_principal, self.next_schema, self.next_type, self.row_version = 5, 5, 257, 2000
        self.schemas = {n: {"id": i, "owner": "dbo"} for n, i in FIXED_SCHEMAS.items()}
        self.principals = {n: {"id": i, "kind": k, "login": None, "schema": s, "owner": None, "fixed": f} for n, i, k, s, f in (
            ("public", 0, "R", None, False), ("dbo", 1, "S", "dbo", False), ("guest", 2, "S", "guest", False),
            ("INFORMATION_SCHEMA", 3, "S", None, False), ("sys", 4, "S", None, False), ("db_owner", 16384, "R", None, True),
            ("db_datareader", 16390, "R", None, True), ("db_datawriter", 16391, "R", None, True), ("db_ddladmin", 16387, "R", None, True))}
        self.members, self.permissions, self.properties = [], [], []
        self.objects, self.names, self.types, self.collections = {}, {}, {}, {}
        self.catalogs, self.fulltext = {}, {}

    # ---- objects ----

    def add(self, item):
        self.schema(item.schema)
        key = (item.schema.lower(), item.name.lower())
        if key in self.names:
            raise BadValue(2714, f"There is already an object named '{item.name}' in the database.")
        item.id = self.next_id
        self.next_id += 7
        item.schema = self.schema(item.schema)
        self.objects[item.id] = item
        self.names[key] = item
        return item

    def remove(self, item):
        for child in [o for o in self.objects.values() if o.parent == item.id]:
            self.remove(child)
        del self.objects[item.id]
        del self.names[item.schema.lower(), item.name.lower()]
        self.properties = [p for p in self.properties if p["major"] != item.id]

    def rename(self, item, name):
        if (item.schema.lower(), name.lower()) in self.names:
            raise BadValue(15335, f"The new name '{name}' is already in use.")
        del self.names[item.schema.lower(), item.name.lower()]
        item.name = name
        self.names[item.schema.lower(), name.lower()] = item

    def find(self, parts, kinds=None):
        schema = parts[-2] if len(parts) > 1 and parts[-2] else "dbo"
        item = self.names.get((schema.lower(), parts[-1].lower()))
        return item if item and (kinds is None or item.kind in kinds) else None

    def table(self, parts):
        item = self.find(parts, ("U",))
        if not item:
            raise BadValue(208 if len(parts) < 3 else 4902, f"Invalid object name '{'.'.join(parts)}'.")
        return item

    def of_kind(self, *kinds):
        return [o for o in self.objects.values() if o.kind in kinds]

    # ---- names and numbers ----

    def schema(self, name):
        for known in self.schemas:
            if known.lower() == name.lower():
                return known
        raise BadValue(2760, f'The specified schema name "{name}" either does not exist or you do not have permission to use it.')

    def schema_id(self, name):
        return next((s["id"] for n, s in self.schemas.items() if name and n.lower() == name.lower()), None)

    def schema_name(self, number):
        return next((n for n, s in self.schemas.items() if s["id"] == number), None)

    def principal(self, name):
        for known in self.principals:
            if known.lower() == name.lower():
                return known
        raise BadValue(15151, f"Cannot find the user '{name}', because it does not exist or you do not have permission.")

    def principal_id(self, name):
        return next((p["id"] for n, p in self.principals.items() if name and n.lower() == name.lower()), None)

    def principal_name(self, number):
        return next((n for n, p in self.principals.items() if p["id"] == number), None)

    def type_id(self, name):
        plain = name.split(".")[-1].strip("[]").lower()
        return USER_TYPES.get(plain) or next((t["id"] for (s, n), t in self.types.items() if n == plain), None)

    def type_name(self, number):
        return next((n for n, i in USER_TYPES.items() if i == number), None) or next(
            (t["name"] for t in self.types.values() if t["id"] == number), None)

    def user_type(self, parts):
        schema = parts[-2] if len(parts) > 1 else "dbo"
        found = self.types.get((schema.lower(), parts[-1].lower()))
        if not found:
            raise BadValue(2715, f"Cannot find data type {'.'.join(parts)}.")
        return found

    def type(self, node):
        """(Type, user type or None) of what the parser gave, texts in the database's collation."""
        if isinstance(node, tuple):
            found = self.user_type(node[1])
            if found["table"]:
                raise BadValue(2715, f"{found['name']} is a table type.")
            return found["base"], found
        if node.collation is not None and node.collation.name == DEFAULT_COLLATION:
            return Type(node.name, node.length, collation=self.collation, alias=node.alias), None
        return node, None

    def xml_collection(self, schema, name):
        found = self.collections.get(((schema or "dbo").lower(), (name or "").lower()))
        return found["text"] if found else None

    def clone(self):
        return copy.deepcopy(self)

"""
The views of sys, computed from what the database holds. Each is "column type, ..." and a function of (model, database) that gives
dictionaries; what a dictionary lacks is NULL, or 0 for a column that can't be (written with "!").
"""
from tds_scenario import parse_type
from tds_types import Type, Variant
from tsql_objects import SYSTEM_TYPES, USER_TYPES, FieldOf, TableColumn, precision_scale

OBJECT = """name sysname, object_id int!, principal_id int, schema_id int!, parent_object_id int!, type char(2), type_desc nvarchar(60),
create_date datetime, modify_date datetime, is_ms_shipped bit!, is_published bit!, is_schema_published bit!"""
DESCRIPTIONS = {"U": "USER_TABLE", "V": "VIEW", "P": "SQL_STORED_PROCEDURE", "FN": "SQL_SCALAR_FUNCTION", "IF": "SQL_INLINE_TABLE_VALUED_FUNCTION",
                "TF": "SQL_TABLE_VALUED_FUNCTION", "TR": "SQL_TRIGGER", "D": "DEFAULT_CONSTRAINT", "C": "CHECK_CONSTRAINT", "F": "FOREIGN_KEY_CONSTRAINT",
                "PK": "PRIMARY_KEY_CONSTRAINT", "UQ": "UNIQUE_CONSTRAINT", "SO": "SEQUENCE_OBJECT", "SN": "SYNONYM", "R": "RULE", "TT": "TYPE_TABLE"}
MODULES = ("V", "P", "FN", "IF", "TF", "TR", "R")
WHEN = (737790, 0)
VIEWS = {}


class View:
    def __init__(self, name, spec, rows):
        self.name, self.make, self.columns, self.required = name, rows, [], []
        for number, part in enumerate(spec.split(","), 1):
            column, kind = part.split(None, 1)
            kind = kind.strip()
            required = kind.endswith("!")
            kind = kind.rstrip("!").replace(";", ",")
            t = Type("nvarchar", 256, alias="sysname") if kind == "sysname" else parse_type(kind)[0]
            self.columns.append(TableColumn(number, column, t, not required))
            self.required.append(required)

    @property
    def fields(self):
        return [FieldOf(c) for c in self.columns]

    def rows(self, model, db):
        names = [c.name for c in self.columns]
        for d in self.make(model, db):
            stray = set(d) - set(names)
            assert not stray, (self.name, stray)
            yield tuple(0 if d.get(n) is None and required else int(d[n]) if isinstance(d.get(n), bool) else d.get(n)
                        for n, required in zip(names, self.required))


def view(name, spec):
    def make(rows):
        VIEWS[name] = View(name, " ".join(spec.split()), rows)
        return rows
    return make


def _object(db, o):
    return {"name": o.name, "object_id": o.id, "schema_id": db.schema_id(o.schema), "parent_object_id": o.parent, "type": o.kind.ljust(2),
            "type_desc": DESCRIPTIONS[o.kind], "create_date": WHEN, "modify_date": WHEN}


@view("objects", OBJECT)
def objects(_m, db):
    return (_object(db, o) for o in db.objects.values())


VIEWS["all_objects"] = View("all_objects", " ".join(OBJECT.split()), objects)


@view("tables", OBJECT + """, lob_data_space_id int!, uses_ansi_nulls bit, lock_escalation_desc nvarchar(60), text_in_row_limit int!,
large_value_types_out_of_row bit!, is_tracked_by_cdc bit!, is_filetable bit!, is_memory_optimized bit!, temporal_type tinyint!, history_table_id int,
is_external bit!, is_node bit!, is_edge bit!, durability tinyint!, is_replicated bit!, has_replication_filter bit!""")
def tables(_m, db):
    return ({**_object(db, t), "uses_ansi_nulls": t.ansi_nulls, "lock_escalation_desc": t.lock,
             "large_value_types_out_of_row": getattr(t, "out_of_row", False)} for t in db.of_kind("U"))


VIEWS["views"] = View("views", " ".join((OBJECT + ", is_replicated bit!, with_check_option bit!").split()),
                      lambda m, db: (_object(db, o) for o in db.of_kind("V")))
VIEWS["procedures"] = View("procedures", " ".join((OBJECT + ", is_auto_executed bit!").split()), lambda m, db: (_object(db, o) for o in db.of_kind("P")))

COLUMNS = """object_id int!, name sysname, column_id int!, system_type_id tinyint!, user_type_id int!, max_length smallint!, precision tinyint!,
scale tinyint!, collation_name sysname, is_nullable bit!, is_ansi_padded bit!, is_rowguidcol bit!, is_identity bit!, is_computed bit!,
is_filestream bit!, is_replicated bit!, is_xml_document bit!, xml_collection_id int!, default_object_id int!, rule_object_id int!, is_sparse bit!,
is_column_set bit!, generated_always_type tinyint!, encryption_type int, is_hidden bit!, is_masked bit!"""


def _columns(items):
    for o in items:
        for c in o.columns:
            precision, scale = precision_scale(c.type)
            plain = "sysname" if c.type.alias == "sysname" else c.type.name
            yield {"object_id": o.id, "name": c.name, "column_id": c.number, "system_type_id": SYSTEM_TYPES[c.type.name],
                   "user_type_id": c.user_type["id"] if c.user_type else USER_TYPES[plain], "max_length": c.type.length, "precision": precision,
                   "scale": scale, "collation_name": c.type.collation.name if c.type.collation else None, "is_nullable": c.nullable,
                   "is_ansi_padded": c.type.name in ("char", "varchar", "nchar", "nvarchar", "binary", "varbinary"), "is_rowguidcol": c.rowguid,
                   "is_identity": bool(c.identity), "is_computed": bool(c.computed), "is_sparse": c.sparse, "is_column_set": c.column_set,
                   "generated_always_type": c.generated, "is_hidden": c.hidden, "is_masked": bool(c.mask),
                   "default_object_id": c.default.id if c.default else 0}


@view("columns", COLUMNS)
def columns(_m, db):
    return _columns(db.of_kind("U", "V", "TT"))


def _views_as_objects():
    for number, v in enumerate(VIEWS.values(), 1):
        v.id = -number
        yield v


VIEWS["all_columns"] = View("all_columns", " ".join(COLUMNS.split()), lambda m, db: _columns([*db.of_kind("U", "V", "TT"), *_views_as_objects()]))
VIEWS["all_views"] = View("all_views", " ".join(OBJECT.split()), lambda m, db: (
    {"name": v.name, "object_id": v.id, "schema_id": 4, "type": "V ", "type_desc": "VIEW", "is_ms_shipped": 1} for v in _views_as_objects()))


@view("identity_columns", COLUMNS + ", seed_value sql_variant, increment_value sql_variant, last_value sql_variant, is_not_for_replication bit!")
def identity_columns(_m, db):
    for t in db.of_kind("U", "TT"):
        for c, row in zip(t.columns, _columns([t])):
            if c.identity:
                yield {**row, "seed_value": Variant(c.type, c.identity[0]), "increment_value": Variant(c.type, c.identity[1]),
                       "last_value": None if t.last_identity is None else Variant(c.type, t.last_identity), "is_not_for_replication": c.replication}


@view("computed_columns", COLUMNS + ", definition nvarchar(max), uses_database_collation bit!, is_persisted bit!")
def computed_columns(_m, db):
    for t in db.of_kind("U", "TT"):
        for c, row in zip(t.columns, _columns([t])):
            if c.computed:
                yield {**row, "definition": c.computed, "is_persisted": c.persisted}


VIEWS["masked_columns"] = View("masked_columns", "object_id int!, column_id int!, name sysname, masking_function nvarchar(4000)", lambda m, db: (
    {"object_id": t.id, "column_id": c.number, "name": c.name, "masking_function": c.mask} for t in db.of_kind("U") for c in t.columns if c.mask))


@view("types", """name sysname, system_type_id tinyint!, user_type_id int!, schema_id int!, principal_id int, max_length smallint!, precision tinyint!,
scale tinyint!, collation_name sysname, is_nullable bit, is_user_defined bit!, is_assembly_type bit!, default_object_id int!, rule_object_id int!,
is_table_type bit!""")
def types(_m, db):
    for name, number in SYSTEM_TYPES.items():
        t = Type("nvarchar", 256) if name == "sysname" else Type(name, 8000 if name in ("varchar", "char", "nvarchar", "nchar", "varbinary", "binary") else None,
                                                                 precision=38 if name in ("decimal", "numeric") else None)
        precision, scale = precision_scale(t)
        yield {"name": name, "system_type_id": number, "user_type_id": USER_TYPES[name], "schema_id": 4, "max_length": t.length,
               "precision": precision, "scale": scale, "is_nullable": 0 if name == "sysname" else 1,
               "is_assembly_type": name in ("hierarchyid", "geometry", "geography"), "collation_name": db.collation if t.collation else None}
    for (schema, _), u in db.types.items():
        t = u["base"]
        precision, scale = precision_scale(t) if t else (0, 0)
        yield {"name": u["name"], "system_type_id": SYSTEM_TYPES[t.name] if t else 243, "user_type_id": u["id"], "schema_id": db.schema_id(schema),
               "max_length": t.length if t else -1, "precision": precision, "scale": scale, "is_nullable": u["nullable"], "is_user_defined": 1,
               "is_table_type": u["table"] is not None, "collation_name": t.collation.name if t and t.collation else None}


@view("table_types", """name sysname, system_type_id tinyint!, user_type_id int!, schema_id int!, is_user_defined bit!, is_table_type bit!,
type_table_object_id int!, is_memory_optimized bit!""")
def table_types(_m, db):
    return ({"name": u["name"], "system_type_id": 243, "user_type_id": u["id"], "schema_id": db.schema_id(s), "is_user_defined": 1,
             "is_table_type": 1, "type_table_object_id": u["table"].id} for (s, _), u in db.types.items() if u["table"])


@view("schemas", "name sysname, schema_id int!, principal_id int")
def schemas(_m, db):
    return ({"name": n, "schema_id": s["id"], "principal_id": db.principal_id(s["owner"])} for n, s in db.schemas.items())


@view("database_principals", """name sysname, principal_id int!, type char(1), type_desc nvarchar(60), default_schema_name sysname, create_date datetime,
owning_principal_id int, sid varbinary(85), is_fixed_role bit!, authentication_type int!, authentication_type_desc nvarchar(60)""")
def database_principals(m, db):
    return ({"name": n, "principal_id": p["id"], "type": p["kind"], "type_desc": "SQL_USER" if p["kind"] == "S" else "DATABASE_ROLE",
             "default_schema_name": p["schema"], "owning_principal_id": 1 if p["kind"] == "R" else None, "is_fixed_role": p["fixed"],
             "sid": b"\1" if n == "dbo" else p.get("sid"), "authentication_type": 1 if p["login"] or n == "dbo" else 0} for n, p in db.principals.items())


@view("database_role_members", "role_principal_id int!, member_principal_id int!")
def role_members(_m, db):
    return ({"role_principal_id": db.principal_id(r), "member_principal_id": db.principal_id(m)} for r, m in db.members)


CLASSES = {"DATABASE": (0, "DATABASE"), "OBJECT": (1, "OBJECT_OR_COLUMN"), "SCHEMA": (3, "SCHEMA"), "TYPE": (6, "TYPE")}


@view("database_permissions", """class tinyint!, class_desc nvarchar(60), major_id int!, minor_id int!, grantee_principal_id int!,
grantor_principal_id int!, type char(4), permission_name nvarchar(128), state char(1), state_desc nvarchar(60)""")
def permissions(_m, db):
    return ({"class": CLASSES[p["kind"]][0], "class_desc": CLASSES[p["kind"]][1], "major_id": p["major"], "minor_id": p["minor"],
             "grantee_principal_id": db.principal_id(p["to"]), "grantor_principal_id": 1, "permission_name": p["right"], "state": p["state"]}
            for p in db.permissions)


CONSTRAINT = OBJECT + ", is_system_named bit!"


@view("default_constraints", CONSTRAINT + ", parent_column_id int!, definition nvarchar(max)")
def defaults(_m, db):
    return ({**_object(db, o), "parent_column_id": o.column, "definition": o.definition, "is_system_named": o.system_named}
            for o in db.of_kind("D") if o.parent)


@view("check_constraints", CONSTRAINT + ", parent_column_id int!, definition nvarchar(max), is_disabled bit!, is_not_trusted bit!, is_not_for_replication bit!")
def checks(_m, db):
    return ({**_object(db, o), "definition": o.definition, "is_system_named": o.system_named, "is_disabled": o.disabled,
             "is_not_trusted": not o.trusted, "is_not_for_replication": o.replication} for o in db.of_kind("C"))


@view("key_constraints", CONSTRAINT + ", unique_index_id int")
def keys(_m, db):
    return ({**_object(db, o), "unique_index_id": o.index, "is_system_named": o.system_named} for o in db.of_kind("PK", "UQ"))


@view("foreign_keys", CONSTRAINT + """, referenced_object_id int!, key_index_id int, is_disabled bit!, is_not_for_replication bit!, is_not_trusted bit!,
delete_referential_action tinyint!, delete_referential_action_desc nvarchar(60), update_referential_action tinyint!,
update_referential_action_desc nvarchar(60)""")
def foreign_keys(_m, db):
    return ({**_object(db, o), "referenced_object_id": o.referenced, "is_system_named": o.system_named, "is_disabled": o.disabled,
             "is_not_trusted": not o.trusted, "is_not_for_replication": o.replication, "delete_referential_action_desc": o.delete,
             "update_referential_action_desc": o.update} for o in db.of_kind("F"))


@view("foreign_key_columns", """constraint_object_id int!, constraint_column_id int!, parent_object_id int!, parent_column_id int!,
referenced_object_id int!, referenced_column_id int!""")
def foreign_key_columns(_m, db):
    for o in db.of_kind("F"):
        for i, (a, b) in enumerate(zip(o.columns, o.referenced_columns), 1):
            yield {"constraint_object_id": o.id, "constraint_column_id": i, "parent_object_id": o.parent, "parent_column_id": a,
                   "referenced_object_id": o.referenced, "referenced_column_id": b}


INDEX_TYPES = {0: "HEAP", 1: "CLUSTERED", 2: "NONCLUSTERED", 3: "XML", 4: "SPATIAL", 5: "CLUSTERED COLUMNSTORE", 6: "NONCLUSTERED COLUMNSTORE"}


def _indexes(db):
    for t in db.of_kind("U", "V", "TT"):
        listed = getattr(t, "indexes", [])
        if t.kind != "V" and not any(i["type"] in (1, 5) for i in listed):
            yield t, {"id": 0, "name": None, "type": 0, "unique": False, "primary": False, "constraint": False, "options": {}, "disabled": False,
                      "filter": None, "columns": [], "included": []}
        for i in listed:
            yield t, i


@view("indexes", """object_id int!, name sysname, index_id int!, type tinyint!, type_desc nvarchar(60), is_unique bit!, data_space_id int!,
ignore_dup_key bit!, is_primary_key bit!, is_unique_constraint bit!, fill_factor tinyint!, is_padded bit!, is_disabled bit!, is_hypothetical bit!,
allow_row_locks bit!, allow_page_locks bit!, has_filter bit!, filter_definition nvarchar(max)""")
def indexes(_m, db):
    for t, i in _indexes(db):
        o = i["options"]
        yield {"object_id": t.id, "name": i["name"], "index_id": i["id"], "type": i["type"], "type_desc": INDEX_TYPES[i["type"]],
               "is_unique": i["unique"], "data_space_id": 1, "ignore_dup_key": o.get("IGNORE_DUP_KEY", False), "is_primary_key": i["primary"],
               "is_unique_constraint": i["constraint"], "fill_factor": o.get("FILLFACTOR", 0), "is_padded": o.get("PAD_INDEX", False),
               "is_disabled": i["disabled"], "allow_row_locks": o.get("ALLOW_ROW_LOCKS", True), "allow_page_locks": o.get("ALLOW_PAGE_LOCKS", True),
               "has_filter": i["filter"] is not None, "filter_definition": i["filter"]}


@view("index_columns", """object_id int!, index_id int!, index_column_id int!, column_id int!, key_ordinal tinyint!, partition_ordinal tinyint!,
is_descending_key bit, is_included_column bit""")
def index_columns(_m, db):
    for t, i in _indexes(db):
        keyed = i["type"] in (1, 2)
        for n, (name, descending) in enumerate(i["columns"], 1):
            yield {"object_id": t.id, "index_id": i["id"], "index_column_id": n, "column_id": t.column(name).number, "key_ordinal": n if keyed or i["type"] in (3, 4) else 0,
                   "is_descending_key": descending, "is_included_column": not keyed and i["type"] in (5, 6)}
        for n, name in enumerate(i["included"], len(i["columns"]) + 1):
            yield {"object_id": t.id, "index_id": i["id"], "index_column_id": n, "column_id": t.column(name).number, "is_descending_key": 0,
                   "is_included_column": 1}


@view("xml_indexes", """object_id int!, name sysname, index_id int!, type tinyint!, using_xml_index_id int, secondary_type char(1),
secondary_type_desc nvarchar(60)""")
def xml_indexes(_m, db):
    for t, i in _indexes(db):
        if i["type"] == 3:
            using = next((x["id"] for x in t.indexes if i["using"] and x["name"].lower() == i["using"].lower()), None)
            yield {"object_id": t.id, "name": i["name"], "index_id": i["id"], "type": 3, "using_xml_index_id": using, "secondary_type_desc": i["secondary"]}


@view("stats", """object_id int!, name sysname, stats_id int!, auto_created bit!, user_created bit!, no_recompute bit!, has_filter bit!,
filter_definition nvarchar(max)""")
def stats(_m, db):
    for t, i in _indexes(db):
        if i["id"]:
            yield {"object_id": t.id, "name": i["name"], "stats_id": i["id"], "no_recompute": i["options"].get("STATISTICS_NORECOMPUTE", False)}
    for t in db.of_kind("U"):
        for n, s in enumerate(t.statistics):
            yield {"object_id": t.id, "name": s["name"], "stats_id": 1000 + n, "user_created": 1, "no_recompute": s["norecompute"],
                   "has_filter": s["filter"] is not None, "filter_definition": s["filter"]}


@view("stats_columns", "object_id int!, stats_id int!, stats_column_id int!, column_id int!")
def stats_columns(_m, db):
    for t in db.of_kind("U"):
        for n, s in enumerate(t.statistics):
            for k, name in enumerate(s["columns"], 1):
                yield {"object_id": t.id, "stats_id": 1000 + n, "stats_column_id": k, "column_id": t.column(name).number}


@view("partitions", """partition_id bigint!, object_id int!, index_id int!, partition_number int!, rows bigint, data_compression tinyint!,
data_compression_desc nvarchar(60)""")
def partitions(_m, db):
    for n, (t, i) in enumerate(_indexes(db)):
        kind = i["options"].get("DATA_COMPRESSION") or (t.compression if i["id"] < 2 and t.kind == "U" else "NONE")
        yield {"partition_id": n, "object_id": t.id, "index_id": i["id"], "partition_number": 1, "rows": len(t.rows) if t.kind != "V" else 0,
               "data_compression_desc": kind}


VIEWS["dm_db_partition_stats"] = View("dm_db_partition_stats", "object_id int!, index_id int!, partition_number int!, row_count bigint!, reserved_page_count bigint!, used_page_count bigint!", lambda m, db: (
    {"object_id": r["object_id"], "index_id": r["index_id"], "partition_number": 1, "row_count": r["rows"], "used_page_count": r["rows"] // 40 + 1}
    for r in partitions(m, db)))


@view("sql_modules", """object_id int!, definition nvarchar(max), uses_ansi_nulls bit, uses_quoted_identifier bit, is_schema_bound bit,
uses_database_collation bit!, is_recompiled bit!, null_on_null_input bit!, execute_as_principal_id int""")
def sql_modules(_m, db):
    return ({"object_id": o.id, "definition": o.definition, "uses_ansi_nulls": o.ansi_nulls, "uses_quoted_identifier": o.quoted,
             "is_schema_bound": o.bound} for o in db.objects.values() if o.kind in MODULES)


@view("triggers", """name sysname, object_id int!, parent_class tinyint!, parent_id int!, type char(2), type_desc nvarchar(60), is_ms_shipped bit!,
is_disabled bit!, is_not_for_replication bit!, is_instead_of_trigger bit!""")
def triggers(_m, db):
    return ({"name": o.name, "object_id": o.id, "parent_class": 1 if o.parent else 0, "parent_id": o.parent, "type": "TR",
             "is_disabled": o.disabled} for o in db.of_kind("TR"))


@view("trigger_events", "object_id int!, type int!, type_desc nvarchar(60), is_first bit!, is_last bit!")
def trigger_events(_m, db):
    return ({"object_id": o.id, "type_desc": e, "is_first": w == "First", "is_last": w == "Last"} for o in db.of_kind("TR")
            for e, w in getattr(o, "order", {}).items())


VIEWS["sql_expression_dependencies"] = View("sql_expression_dependencies", "referencing_id int!, referenced_id int", lambda m, db: (
    {"referencing_id": a, "referenced_id": b} for a, b in m.dependencies(db)))


@view("sequences", OBJECT + """, start_value sql_variant, increment sql_variant, minimum_value sql_variant, maximum_value sql_variant,
is_cycling bit, is_cached bit, cache_size int, system_type_id tinyint!, user_type_id int!, precision tinyint!, scale tinyint, current_value sql_variant,
is_exhausted bit!, last_used_value sql_variant""")
def sequences(_m, db):
    for o in db.of_kind("SO"):
        t = o.type
        yield {**_object(db, o), "start_value": Variant(t, o.start), "increment": Variant(t, o.increment), "minimum_value": Variant(t, o.minimum),
               "maximum_value": Variant(t, o.maximum), "is_cycling": o.cycle, "is_cached": o.cache != 0, "cache_size": o.cache or None,
               "system_type_id": SYSTEM_TYPES[t.name], "user_type_id": USER_TYPES[t.name], "precision": precision_scale(t)[0], "scale": 0,
               "current_value": Variant(t, o.current), "last_used_value": Variant(t, o.current) if o.used else None}


VIEWS["synonyms"] = View("synonyms", " ".join((OBJECT + ", base_object_name nvarchar(1035)").split()), lambda m, db: (
    {**_object(db, o), "base_object_name": o.base} for o in db.of_kind("SN")))
VIEWS["xml_schema_collections"] = View("xml_schema_collections", "xml_collection_id int!, schema_id int!, name sysname", lambda m, db: (
    {"xml_collection_id": c["id"], "schema_id": db.schema_id(s), "name": c["name"]} for (s, _), c in db.collections.items()))
VIEWS["fulltext_catalogs"] = View("fulltext_catalogs", "fulltext_catalog_id int!, name sysname, is_default bit!, is_accent_sensitivity_on bit!", lambda m, db: (
    {"fulltext_catalog_id": c["id"], "name": c["name"], "is_default": c["default"], "is_accent_sensitivity_on": c["accent"]} for c in db.catalogs.values()))
VIEWS["fulltext_indexes"] = View("fulltext_indexes", "object_id int!, unique_index_id int!, fulltext_catalog_id int, is_enabled bit!, change_tracking_state char(1), change_tracking_state_desc nvarchar(60), stoplist_id int", lambda m, db: (
    {"object_id": o, "unique_index_id": f["key"], "fulltext_catalog_id": f["catalog"], "is_enabled": f["enabled"],
     "change_tracking_state_desc": f["tracking"], "stoplist_id": 0 if f["stoplist"] == "SYSTEM" else None} for o, f in db.fulltext.items()))
VIEWS["fulltext_index_columns"] = View("fulltext_index_columns", "object_id int!, column_id int!, type_column_id int, language_id int!", lambda m, db: (
    {"object_id": o, "column_id": c, "type_column_id": t, "language_id": lang} for o, f in db.fulltext.items() for c, t, lang in f["columns"]))


@view("extended_properties", "class tinyint!, class_desc nvarchar(60), major_id int!, minor_id int!, name sysname, value sql_variant")
def properties(_m, db):
    return ({"class": p["class"], "major_id": p["major"], "minor_id": p["minor"], "name": p["name"], "value": p["value"]} for p in db.properties)


DATABASE_BITS = """AUTO_CLOSE auto_close, AUTO_SHRINK auto_shrink, AUTO_CREATE_STATISTICS auto_create_stats, AUTO_UPDATE_STATISTICS auto_update_stats,
AUTO_UPDATE_STATISTICS_ASYNC auto_update_stats_async, RECURSIVE_TRIGGERS recursive_triggers, ANSI_NULL_DEFAULT ansi_null_default, ANSI_NULLS ansi_nulls,
ANSI_PADDING ansi_padding, ANSI_WARNINGS ansi_warnings, ARITHABORT arithabort, CONCAT_NULL_YIELDS_NULL concat_null_yields_null, QUOTED_IDENTIFIER
quoted_identifier, NUMERIC_ROUNDABORT numeric_roundabort, CURSOR_CLOSE_ON_COMMIT cursor_close_on_commit, DATE_CORRELATION_OPTIMIZATION date_correlation,
TRUSTWORTHY trustworthy, READ_COMMITTED_SNAPSHOT read_committed_snapshot"""
BITS = [tuple(p.split()) for p in DATABASE_BITS.split(",")]


@view("databases", """name sysname, database_id int!, source_database_id int, owner_sid varbinary(85), create_date datetime, compatibility_level tinyint!,
collation_name sysname, user_access tinyint!, user_access_desc nvarchar(60), is_read_only bit!, state tinyint!, state_desc nvarchar(60),
snapshot_isolation_state tinyint!, snapshot_isolation_state_desc nvarchar(60), recovery_model tinyint!, recovery_model_desc nvarchar(60),
page_verify_option_desc nvarchar(60), is_parameterization_forced bit!, is_local_cursor_default bit!, is_db_chaining_on bit!, is_broker_enabled bit!,
is_encrypted bit!, is_cdc_enabled bit!, is_published bit!, is_subscribed bit!, is_merge_published bit!, is_distributor bit!, replica_id uniqueidentifier, is_in_standby bit!, is_fulltext_enabled bit!,
service_broker_guid uniqueidentifier, """ + ", ".join(f"is_{n}_on bit!" for _, n in BITS))
def databases(m, _db):
    for d in m.databases.values():
        o = d.options
        yield {"name": d.name, "database_id": d.number, "source_database_id": d.snapshot_of, "owner_sid": b"\1", "create_date": d.made,
               "compatibility_level": o["COMPATIBILITY_LEVEL"], "collation_name": d.collation,
               "user_access": ("MULTI_USER", "SINGLE_USER", "RESTRICTED_USER").index(d.access), "user_access_desc": d.access,
               "is_read_only": o["READ_ONLY"] or d.snapshot_of is not None, "state": {"ONLINE": 0, "RESTORING": 1, "SUSPECT": 4}.get(d.state, 6), "state_desc": d.state,
               "snapshot_isolation_state": 1 if o.get("ALLOW_SNAPSHOT_ISOLATION") else 0,
               "snapshot_isolation_state_desc": "ON" if o.get("ALLOW_SNAPSHOT_ISOLATION") else "OFF", "recovery_model_desc": o["RECOVERY"],
               "page_verify_option_desc": o["PAGE_VERIFY"], "is_parameterization_forced": o["PARAMETERIZATION"] == "FORCED",
               "is_local_cursor_default": o["CURSOR_DEFAULT"] == "LOCAL", "is_db_chaining_on": o.get("DB_CHAINING", False),
               "is_broker_enabled": o["BROKER"], **{f"is_{n}_on": o.get(k, False) for k, n in BITS}}


@view("database_scoped_configurations", "configuration_id int!, name nvarchar(60), value sql_variant, value_for_secondary sql_variant, is_value_default bit!")
def scoped(_m, db):
    for n, (name, value) in enumerate({"MAXDOP": "0", **db.scoped}.items(), 1):
        shown = {"ON": "1", "OFF": "0"}.get(value, value)
        yield {"configuration_id": n, "name": name, "value": Variant(Type("nvarchar", 60), shown), "is_value_default": name not in db.scoped}


FILES = """database_id int!, file_id int!, file_guid uniqueidentifier, type tinyint!, type_desc nvarchar(60), name sysname, physical_name nvarchar(260), state tinyint!,
state_desc nvarchar(60), size int!, max_size int!, growth int!, is_percent_growth bit!, data_space_id int!, is_sparse bit!"""


def _files(d):
    for n, f in enumerate(d.files, 1):
        yield {"database_id": d.number, "file_id": n, "file_guid": d.guid if n == 1 and d.state != "RESTORING" else None, "type": "DL".index(f.kind),
               "type_desc": "ROWS" if f.kind == "D" else "LOG", "name": f.name, "physical_name": f.path, "state_desc": "ONLINE", "size": f.size, "max_size": f.maximum,
               "growth": f.growth, "is_percent_growth": f.percent, "data_space_id": 1 if f.kind == "D" else 0, "is_sparse": d.snapshot_of is not None}


VIEWS["database_files"] = View("database_files", " ".join(FILES.split()), lambda m, db: _files(db))
VIEWS["master_files"] = View("master_files", " ".join(FILES.split()), lambda m, db: (f for d in m.databases.values() for f in _files(d)))
VIEWS["filegroups"] = View("filegroups", "name sysname, data_space_id int!, type char(2), type_desc nvarchar(60), is_default bit!, is_read_only bit!", lambda m, db: [
    {"name": "PRIMARY", "data_space_id": 1, "type": "FG", "type_desc": "ROWS_FILEGROUP", "is_default": 1}])
VIEWS["data_spaces"] = View("data_spaces", "name sysname, data_space_id int!, type char(2), type_desc nvarchar(60), is_default bit!", lambda m, db: [
    {"name": "PRIMARY", "data_space_id": 1, "type": "FG", "type_desc": "ROWS_FILEGROUP", "is_default": 1}])
VIEWS["dm_exec_sessions"] = View("dm_exec_sessions", "session_id smallint!, login_name sysname, host_name sysname, host_process_id int, program_name sysname, database_id smallint!, is_user_process bit!, open_transaction_count int!, status nvarchar(30)", lambda m, db: (
    {"session_id": s.number + 50, "login_name": s.login.user, "host_name": s.login.host, "host_process_id": s.login.process, "program_name": s.login.application,
     "database_id": m.db_id(s.database) or 0, "is_user_process": 1, "open_transaction_count": 1 if s.transaction else 0, "status": "sleeping"}
    for s in list(m.sessions)))
VIEWS["sysprocesses"] = View("sysprocesses", "spid smallint!, dbid smallint!, loginame nvarchar(128), program_name nvarchar(128)", lambda m, db: (
    {"spid": s.number + 50, "dbid": m.db_id(s.database) or 0, "loginame": s.login.user, "program_name": s.login.application} for s in list(m.sessions)))
VIEWS["dm_exec_requests"] = View("dm_exec_requests", "session_id smallint!, database_id smallint!, percent_complete real!, command nvarchar(32)", lambda m, db: ())
for _name, _spec in (("assemblies", "name sysname, assembly_id int!, is_user_defined bit!"), ("partition_functions", "name sysname, function_id int!"),
                     ("certificates", "name sysname, certificate_id int!"), ("symmetric_keys", "name sysname, symmetric_key_id int!"),
                     ("asymmetric_keys", "name sysname, asymmetric_key_id int!"), ("plan_guides", "plan_guide_id int!, name sysname"),
                     ("fulltext_stoplists", "stoplist_id int!, name sysname"), ("security_policies", "name sysname, object_id int!, is_ms_shipped bit!"),
                     ("change_tracking_tables", "object_id int!"), ("numbered_procedures", "object_id int!, procedure_number smallint!")):
    VIEWS[_name] = View(_name, _spec, lambda m, db: ())


@view("server_principals", "name sysname, principal_id int!, sid varbinary(85), type char(1), type_desc nvarchar(60), is_disabled bit!")
def server_principals(m, _db):
    return ({"name": n, "principal_id": i, "sid": m.sid(n), "type": "S", "type_desc": "SQL_LOGIN"}
            for i, n in enumerate(m.server.accounts, 1))

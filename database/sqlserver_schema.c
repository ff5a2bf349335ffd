/*
 * The catalog queries. Each begins with a comment that names it. In their text {view.column|there|else} stands for one of two pieces: by
 * whether this server's catalog has that column, or with {view|there|else} that view.
 */
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "sqlserver_schema_internal.h"

enum { QUERY_MAX = 64 * 1024 };

/* Names and texts are nvarchar in the answer, numbers whole: sql_variant and sysname are cast where they stand. */
static const struct {
    enum sqlserver_set set;
    const char *needs; /* a view without which there can be none of it; NULL: every server has it */
    const char *sql;
} queries[] = {
    {SET_DATABASE, NULL,
     "/* nopsnap: database */ SELECT d.collation_name, d.compatibility_level, d.recovery_model_desc, "
     "d.is_read_committed_snapshot_on, d.snapshot_isolation_state, d.is_broker_enabled, d.is_trustworthy_on, "
     "CASE WHEN d.source_database_id IS NULL THEN d.is_read_only ELSE 0 END AS is_read_only, d.page_verify_option_desc, d.is_auto_close_on, d.is_auto_shrink_on, d.is_auto_create_stats_on, "
     "d.is_auto_update_stats_on, d.is_auto_update_stats_async_on, d.is_recursive_triggers_on, "
     "d.is_parameterization_forced, d.is_ansi_null_default_on, d.is_ansi_nulls_on, d.is_ansi_padding_on, "
     "d.is_ansi_warnings_on, d.is_arithabort_on, d.is_concat_null_yields_null_on, d.is_quoted_identifier_on, "
     "d.is_numeric_roundabort_on, d.is_cursor_close_on_commit_on, d.is_local_cursor_default, "
     "d.is_date_correlation_on, d.is_db_chaining_on, d.is_encrypted, d.is_cdc_enabled, d.is_published, "
     "SUSER_SNAME(d.owner_sid) AS owner_name, "
     "CAST(COLLATIONPROPERTY(d.collation_name, 'CodePage') AS int) AS code_page FROM sys.databases d WHERE d.database_id = DB_ID()"},
    {SET_SCHEMAS, NULL,
     "/* nopsnap: schemas */ SELECT s.name, p.name AS owner_name FROM sys.schemas s LEFT JOIN sys.database_principals p "
     "ON p.principal_id = s.principal_id WHERE s.name NOT IN (N'dbo', N'guest', N'sys', N'INFORMATION_SCHEMA') AND "
     "s.name NOT LIKE N'db[_]%' AND s.name NOT IN (N'pg_catalog', N'information_schema_tsql') ORDER BY s.name"},
    {SET_PRINCIPALS, NULL,
     "/* nopsnap: principals */ SELECT p.name, p.type, p.default_schema_name, "
     "{database_principals.authentication_type|p.authentication_type|1} AS authentication_type, "
     "SUSER_SNAME(p.sid) AS login_name, o.name AS owner_name FROM sys.database_principals p "
     "LEFT JOIN sys.database_principals o ON o.principal_id = p.owning_principal_id "
     "WHERE p.is_fixed_role = 0 AND p.name NOT IN (N'dbo', N'guest', N'sys', N'INFORMATION_SCHEMA', N'public') "
     "ORDER BY CASE p.type WHEN 'R' THEN 1 ELSE 0 END, p.name"},
    {SET_ROLE_MEMBERS, NULL,
     "/* nopsnap: role members */ SELECT r.name AS role_name, m.name AS member_name FROM sys.database_role_members x "
     "JOIN sys.database_principals r ON r.principal_id = x.role_principal_id "
     "JOIN sys.database_principals m ON m.principal_id = x.member_principal_id WHERE m.name <> N'dbo' ORDER BY 1, 2"},
    {SET_PERMISSIONS, "database_permissions",
     "/* nopsnap: permissions */ SELECT x.class, x.state, x.permission_name, g.name AS grantee_name, "
     "CASE x.class WHEN 1 THEN SCHEMA_NAME(o.schema_id) WHEN 3 THEN SCHEMA_NAME(x.major_id) "
     "WHEN 6 THEN SCHEMA_NAME(t.schema_id) END AS schema_name, CASE x.class WHEN 1 THEN o.name WHEN 6 THEN t.name "
     "WHEN 4 THEN USER_NAME(x.major_id) END AS object_name, c.name AS column_name FROM sys.database_permissions x "
     "JOIN sys.database_principals g ON g.principal_id = x.grantee_principal_id "
     "LEFT JOIN sys.objects o ON x.class = 1 AND o.object_id = x.major_id "
     "LEFT JOIN sys.types t ON x.class = 6 AND t.user_type_id = x.major_id "
     "LEFT JOIN sys.columns c ON x.class = 1 AND c.object_id = x.major_id AND c.column_id = x.minor_id "
     "WHERE x.major_id >= 0 AND g.name <> N'dbo' AND NOT (x.class = 1 AND o.object_id IS NULL) "
     "AND NOT (x.class = 0 AND x.permission_name = N'CONNECT' AND x.state = 'G') ORDER BY 1, 4, 5, 6, 7, 3, 2"},
    {SET_TYPES, NULL,
     "/* nopsnap: alias types */ SELECT SCHEMA_NAME(t.schema_id) AS schema_name, t.name, b.name AS type_name, "
     "SCHEMA_NAME(b.schema_id) AS type_schema, b.is_user_defined AS type_is_user_defined, t.max_length, t.precision, "
     "t.scale, t.is_nullable, t.is_assembly_type FROM sys.types t LEFT JOIN sys.types b "
     "ON b.user_type_id = t.system_type_id WHERE t.is_user_defined = 1 AND t.is_table_type = 0 ORDER BY 1, 2"},
    {SET_TABLE_TYPES, "table_types",
     "/* nopsnap: table types */ SELECT CAST(t.type_table_object_id AS bigint) AS object_id, "
     "SCHEMA_NAME(t.schema_id) AS schema_name, t.name, "
     "{table_types.is_memory_optimized|t.is_memory_optimized|0} AS is_memory_optimized "
     "FROM sys.table_types t ORDER BY 2, 3"},
    {SET_SEQUENCES, "sequences",
     "/* nopsnap: sequences */ SELECT SCHEMA_NAME(q.schema_id) AS schema_name, q.name, t.name AS type_name, q.precision, "
     "CAST(q.start_value AS decimal(38,0)) AS start_value, CAST(q.increment AS decimal(38,0)) AS increment_value, "
     "CAST(q.current_value AS decimal(38,0)) AS current_value, CAST(q.minimum_value AS decimal(38,0)) AS minimum_value, "
     "CAST(q.maximum_value AS decimal(38,0)) AS maximum_value, q.is_cycling, q.is_cached, q.cache_size, "
     "{sequences.last_used_value|CASE WHEN q.last_used_value IS NULL THEN 0 ELSE 1 END|"
     "CASE WHEN q.current_value = q.start_value THEN 0 ELSE 1 END} AS is_used, "
     "CAST(CAST(q.current_value AS decimal(38,0)) + CAST(q.increment AS decimal(38,0)) AS decimal(38,0)) AS next_value "
     "FROM sys.sequences q JOIN sys.types t ON t.user_type_id = q.user_type_id ORDER BY 1, 2"},
    {SET_SYNONYMS, "synonyms",
     "/* nopsnap: synonyms */ SELECT SCHEMA_NAME(y.schema_id) AS schema_name, y.name, y.base_object_name "
     "FROM sys.synonyms y ORDER BY 1, 2"},
    {SET_XML_COLLECTIONS, "xml_schema_collections",
     "/* nopsnap: xml schema collections */ SELECT SCHEMA_NAME(x.schema_id) AS schema_name, x.name, "
     "CAST(XML_SCHEMA_NAMESPACE(SCHEMA_NAME(x.schema_id), x.name) AS nvarchar(max)) AS definition "
     "FROM sys.xml_schema_collections x WHERE SCHEMA_NAME(x.schema_id) <> N'sys' ORDER BY 1, 2"},
    {SET_TABLES, NULL,
     "/* nopsnap: tables */ SELECT CAST(t.object_id AS bigint) AS object_id, SCHEMA_NAME(t.schema_id) AS schema_name, "
     "t.name, t.uses_ansi_nulls, t.is_tracked_by_cdc, t.lock_escalation_desc, t.text_in_row_limit, "
     "t.large_value_types_out_of_row, "
     "{tables.is_filetable|t.is_filetable|0} AS is_filetable, "
     "{tables.is_memory_optimized|t.is_memory_optimized|0} AS is_memory_optimized, "
     "{tables.is_external|t.is_external|0} AS is_external, {tables.is_node|t.is_node|0} AS is_node, "
     "{tables.is_edge|t.is_edge|0} AS is_edge, {tables.ledger_type|t.ledger_type|0} AS ledger_type, "
     "{tables.temporal_type|t.temporal_type|0} AS temporal_type, "
     "{tables.history_table_id|SCHEMA_NAME(h.schema_id)|NULL} AS history_schema, "
     "{tables.history_table_id|h.name|NULL} AS history_name, "
     "{periods|ps.name|NULL} AS period_start, {periods|pe.name|NULL} AS period_end "
     "FROM sys.tables t {tables.history_table_id|LEFT JOIN sys.tables h ON h.object_id = t.history_table_id|} "
     "{periods|LEFT JOIN sys.periods p ON p.object_id = t.object_id LEFT JOIN sys.columns ps ON "
     "ps.object_id = p.object_id AND ps.column_id = p.start_column_id LEFT JOIN sys.columns pe ON "
     "pe.object_id = p.object_id AND pe.column_id = p.end_column_id|} "
     "WHERE t.is_ms_shipped = 0 AND t.name NOT IN (N'" SQLSERVER_MARKER "', N'" SQLSERVER_STAGING "') ORDER BY 2, 3"},
    {SET_COLUMNS, NULL,
     "/* nopsnap: columns */ SELECT CAST(c.object_id AS bigint) AS object_id, c.column_id, c.name, t.name AS type_name, "
     "SCHEMA_NAME(t.schema_id) AS type_schema, t.is_user_defined AS type_is_user_defined, b.name AS base_name, "
     "t.is_assembly_type, c.max_length, c.precision, c.scale, c.collation_name, "
     "CAST(COLLATIONPROPERTY(c.collation_name, 'CodePage') AS int) AS code_page, c.is_nullable, c.is_rowguidcol, c.is_sparse, "
     "c.is_column_set, c.is_filestream, c.is_xml_document, xs.schema_name AS xml_schema, xs.name AS xml_name, "
     "c.is_identity, c.is_computed, "
     "i.seed_value, i.increment_value, CASE WHEN i.is_used = 1 THEN CAST(IDENT_CURRENT(QUOTENAME("
     "OBJECT_SCHEMA_NAME(c.object_id)) + N'.' + QUOTENAME(OBJECT_NAME(c.object_id))) AS decimal(38,0)) END AS last_value, "
     "i.is_not_for_replication, k.definition AS computed, k.is_persisted, "
     "{columns.generated_always_type|c.generated_always_type|0} AS generated_always_type, "
     "{columns.is_hidden|c.is_hidden|0} AS is_hidden, {columns.encryption_type|c.encryption_type|NULL} AS encryption_type, "
     "{masked_columns|m.masking_function|NULL} AS masking_function "
     "FROM sys.columns c JOIN sys.types t ON t.user_type_id = c.user_type_id "
     "LEFT JOIN sys.types b ON b.user_type_id = c.system_type_id AND b.system_type_id = c.system_type_id "
     "LEFT JOIN (SELECT DISTINCT n.object_id, n.column_id, CAST(n.seed_value AS decimal(38,0)) AS seed_value, "
     "CAST(n.increment_value AS decimal(38,0)) AS increment_value, CASE WHEN n.last_value IS NULL THEN 0 ELSE 1 END AS is_used, "
     "CAST(n.is_not_for_replication AS int) AS is_not_for_replication FROM sys.identity_columns n WHERE n.seed_value IS NOT NULL) i "
     "ON i.object_id = c.object_id AND i.column_id = c.column_id "
     "LEFT JOIN sys.computed_columns k ON k.object_id = c.object_id AND k.column_id = c.column_id "
     "{masked_columns|LEFT JOIN sys.masked_columns m ON m.object_id = c.object_id AND m.column_id = c.column_id|} "
     "LEFT JOIN (SELECT {xml_schema_collections|x.xml_collection_id, SCHEMA_NAME(x.schema_id) AS schema_name, x.name FROM "
     "sys.xml_schema_collections x WHERE SCHEMA_NAME(x.schema_id) <> N'sys'|0 AS xml_collection_id, N'' AS schema_name, "
     "N'' AS name WHERE 1 = 0}) xs ON xs.xml_collection_id = c.xml_collection_id "
     "WHERE c.object_id IN (SELECT object_id FROM sys.tables WHERE is_ms_shipped = 0"
     "{table_types| UNION ALL SELECT type_table_object_id FROM sys.table_types|}) "
     "ORDER BY c.object_id, c.column_id"},
    {SET_DEFAULTS, NULL,
     "/* nopsnap: defaults */ SELECT CAST(d.object_id AS bigint) AS object_id, CAST(d.parent_object_id AS bigint) AS parent, "
     "d.parent_column_id, d.name, d.definition FROM sys.default_constraints d ORDER BY d.parent_object_id, "
     "d.parent_column_id"},
    {SET_CHECKS, NULL,
     "/* nopsnap: checks */ SELECT CAST(k.object_id AS bigint) AS object_id, CAST(k.parent_object_id AS bigint) AS parent, "
     "k.name, k.definition, k.is_disabled, k.is_not_trusted, k.is_not_for_replication FROM sys.check_constraints k "
     "ORDER BY k.parent_object_id, k.name"},
    {SET_INDEXES, NULL,
     "/* nopsnap: indexes */ SELECT CAST(i.object_id AS bigint) AS object_id, i.index_id, i.name, i.type, i.is_unique, "
     "i.is_primary_key, i.is_unique_constraint, i.ignore_dup_key, i.fill_factor, i.is_padded, i.is_disabled, "
     "i.is_hypothetical, i.allow_row_locks, i.allow_page_locks, i.has_filter, i.filter_definition, "
     "SCHEMA_NAME(o.schema_id) AS schema_name, o.name AS table_name, o.type AS table_type, "
     "{data_spaces|ds.type|NULL} AS space_type, {data_spaces|ds.name|NULL} AS space_name, "
     "{data_spaces|ds.is_default|1} AS space_is_default, "
     "{stats.no_recompute|st.no_recompute|0} AS no_recompute, "
     "{partitions.data_compression_desc|p.data_compression_desc|NULL} AS data_compression "
     "FROM sys.indexes i JOIN sys.objects o ON o.object_id = i.object_id "
     "{data_spaces|LEFT JOIN sys.data_spaces ds ON ds.data_space_id = i.data_space_id|} "
     "{stats.no_recompute|LEFT JOIN sys.stats st ON st.object_id = i.object_id AND st.stats_id = i.index_id|} "
     "{partitions.data_compression_desc|LEFT JOIN sys.partitions p ON p.object_id = i.object_id AND "
     "p.index_id = i.index_id AND p.partition_number = 1|} "
     "WHERE o.is_ms_shipped = 0 AND o.type IN ('U', 'V', 'TT') "
     "ORDER BY i.object_id, CASE WHEN i.type IN (1, 5) THEN 0 ELSE 1 END, i.is_primary_key DESC, i.index_id"},
    {SET_INDEX_COLUMNS, NULL,
     "/* nopsnap: index columns */ SELECT CAST(x.object_id AS bigint) AS object_id, x.index_id, c.name, x.key_ordinal, "
     "x.is_descending_key, x.is_included_column, c.column_id FROM sys.index_columns x JOIN sys.columns c "
     "ON c.object_id = x.object_id AND c.column_id = x.column_id JOIN sys.objects o ON o.object_id = x.object_id "
     "WHERE o.is_ms_shipped = 0 ORDER BY x.object_id, x.index_id, x.is_included_column, x.key_ordinal, "
     "x.index_column_id"},
    {SET_XML_INDEXES, "xml_indexes",
     "/* nopsnap: xml indexes */ SELECT CAST(x.object_id AS bigint) AS object_id, x.index_id, x.secondary_type_desc, "
     "p.name AS primary_name FROM sys.xml_indexes x LEFT JOIN sys.xml_indexes p ON p.object_id = x.object_id AND "
     "p.index_id = x.using_xml_index_id ORDER BY 1, 2"},
    {SET_SPATIAL_INDEXES, "spatial_index_tessellations",
     "/* nopsnap: spatial indexes */ SELECT CAST(x.object_id AS bigint) AS object_id, x.index_id, x.tessellation_scheme, "
     "CONVERT(nvarchar(40), x.bounding_box_xmin, 2) AS xmin, CONVERT(nvarchar(40), x.bounding_box_ymin, 2) AS ymin, "
     "CONVERT(nvarchar(40), x.bounding_box_xmax, 2) AS xmax, CONVERT(nvarchar(40), x.bounding_box_ymax, 2) AS ymax, "
     "x.level_1_grid_desc, x.level_2_grid_desc, x.level_3_grid_desc, x.level_4_grid_desc, x.cells_per_object "
     "FROM sys.spatial_index_tessellations x ORDER BY 1, 2"},
    {SET_STATISTICS, "stats",
     "/* nopsnap: statistics */ SELECT CAST(s.object_id AS bigint) AS object_id, s.stats_id, s.name, s.no_recompute, "
     "{stats.filter_definition|s.filter_definition|NULL} AS filter_definition, SCHEMA_NAME(o.schema_id) AS schema_name, "
     "o.name AS table_name FROM sys.stats s JOIN sys.objects o ON o.object_id = s.object_id "
     "WHERE s.user_created = 1 AND o.is_ms_shipped = 0 AND o.type IN ('U', 'V') ORDER BY 1, 2"},
    {SET_STATISTICS_COLUMNS, "stats_columns",
     "/* nopsnap: statistics columns */ SELECT CAST(x.object_id AS bigint) AS object_id, x.stats_id, c.name "
     "FROM sys.stats_columns x JOIN sys.columns c ON c.object_id = x.object_id AND c.column_id = x.column_id "
     "ORDER BY x.object_id, x.stats_id, x.stats_column_id"},
    {SET_FOREIGN_KEYS, NULL,
     "/* nopsnap: foreign keys */ SELECT CAST(f.object_id AS bigint) AS object_id, "
     "CAST(f.parent_object_id AS bigint) AS parent, f.name, SCHEMA_NAME(r.schema_id) AS referenced_schema, "
     "r.name AS referenced_name, f.delete_referential_action_desc AS on_delete, "
     "f.update_referential_action_desc AS on_update, f.is_disabled, f.is_not_trusted, f.is_not_for_replication "
     "FROM sys.foreign_keys f JOIN sys.objects r ON r.object_id = f.referenced_object_id "
     "WHERE f.is_ms_shipped = 0 ORDER BY f.parent_object_id, f.name"},
    {SET_FOREIGN_KEY_COLUMNS, NULL,
     "/* nopsnap: foreign key columns */ SELECT CAST(x.constraint_object_id AS bigint) AS object_id, p.name, "
     "r.name AS referenced_name FROM sys.foreign_key_columns x JOIN sys.columns p ON "
     "p.object_id = x.parent_object_id AND p.column_id = x.parent_column_id JOIN sys.columns r ON "
     "r.object_id = x.referenced_object_id AND r.column_id = x.referenced_column_id "
     "ORDER BY x.constraint_object_id, x.constraint_column_id"},
    {SET_MODULES, NULL,
     "/* nopsnap: modules */ SELECT CAST(o.object_id AS bigint) AS object_id, CAST(o.type AS char(2)) AS type, "
     "SCHEMA_NAME(o.schema_id) AS schema_name, o.name, m.definition, m.uses_ansi_nulls, m.uses_quoted_identifier, m.is_schema_bound, "
     "SCHEMA_NAME(p.schema_id) AS parent_schema, p.name AS parent_name, t.is_disabled FROM sys.objects o "
     "LEFT JOIN sys.sql_modules m ON m.object_id = o.object_id LEFT JOIN sys.objects p ON "
     "p.object_id = o.parent_object_id LEFT JOIN sys.triggers t ON t.object_id = o.object_id "
     "WHERE o.is_ms_shipped = 0 AND o.type IN ('P', 'V', 'FN', 'IF', 'TF', 'TR', 'R', 'D') AND "
     "NOT (o.type = 'D' AND o.parent_object_id <> 0) "
     "UNION ALL SELECT CAST(t.object_id AS bigint), CAST(t.type AS char(2)), NULL, t.name, m.definition, m.uses_ansi_nulls, "
     "m.uses_quoted_identifier, m.is_schema_bound, NULL, NULL, t.is_disabled FROM sys.triggers t "
     "LEFT JOIN sys.sql_modules m ON m.object_id = t.object_id WHERE t.parent_class = 0 AND t.is_ms_shipped = 0 "
     "ORDER BY 2, 3, 4"},
    {SET_DEPENDENCIES, "sql_expression_dependencies",
     "/* nopsnap: dependencies */ SELECT DISTINCT CAST(d.referencing_id AS bigint) AS object_id, "
     "CAST(d.referenced_id AS bigint) AS referenced FROM sys.sql_expression_dependencies d "
     "WHERE d.referenced_id IS NOT NULL AND d.referenced_id <> d.referencing_id ORDER BY 1, 2"},
    {SET_TRIGGER_ORDER, "trigger_events",
     "/* nopsnap: trigger order */ SELECT SCHEMA_NAME(o.schema_id) AS schema_name, t.name, e.type_desc, e.is_first "
     "FROM sys.trigger_events e JOIN sys.triggers t ON t.object_id = e.object_id JOIN sys.objects o ON "
     "o.object_id = t.object_id WHERE (e.is_first = 1 OR e.is_last = 1) AND t.parent_class = 1 ORDER BY 1, 2, 3"},
    {SET_FULLTEXT_CATALOGS, "fulltext_catalogs",
     "/* nopsnap: full-text catalogs */ SELECT f.name, f.is_default, f.is_accent_sensitivity_on FROM "
     "sys.fulltext_catalogs f ORDER BY f.name"},
    {SET_FULLTEXT_INDEXES, "fulltext_indexes",
     "/* nopsnap: full-text indexes */ SELECT CAST(x.object_id AS bigint) AS object_id, SCHEMA_NAME(o.schema_id) AS "
     "schema_name, o.name, i.name AS key_name, f.name AS catalog_name, x.change_tracking_state_desc, x.is_enabled, "
     "CASE WHEN x.stoplist_id IS NULL THEN N'OFF' WHEN x.stoplist_id = 0 THEN N'SYSTEM' ELSE N'' END AS stoplist "
     "FROM sys.fulltext_indexes x JOIN sys.objects o ON o.object_id = x.object_id JOIN sys.indexes i ON "
     "i.object_id = x.object_id AND i.index_id = x.unique_index_id JOIN sys.fulltext_catalogs f ON "
     "f.fulltext_catalog_id = x.fulltext_catalog_id ORDER BY 2, 3"},
    {SET_FULLTEXT_COLUMNS, "fulltext_index_columns",
     "/* nopsnap: full-text columns */ SELECT CAST(x.object_id AS bigint) AS object_id, c.name, t.name AS type_column, "
     "x.language_id FROM sys.fulltext_index_columns x JOIN sys.columns c ON c.object_id = x.object_id AND "
     "c.column_id = x.column_id LEFT JOIN sys.columns t ON t.object_id = x.object_id AND "
     "t.column_id = x.type_column_id ORDER BY x.object_id, x.column_id"},
    {SET_PROPERTIES, "extended_properties",
     "/* nopsnap: extended properties */ SELECT e.class, e.name, CAST(e.value AS nvarchar(max)) AS value, "
     "CAST(SQL_VARIANT_PROPERTY(e.value, 'BaseType') AS nvarchar(128)) AS base_type, "
     "CASE e.class WHEN 1 THEN SCHEMA_NAME(COALESCE(p.schema_id, o.schema_id)) WHEN 3 THEN SCHEMA_NAME(e.major_id) "
     "WHEN 6 THEN SCHEMA_NAME(t.schema_id) WHEN 7 THEN SCHEMA_NAME(o.schema_id) END AS schema_name, "
     "CASE e.class WHEN 6 THEN t.name WHEN 4 THEN USER_NAME(e.major_id) ELSE o.name END AS object_name, o.type, "
     "p.name AS parent_name, p.type AS parent_type, CASE e.class WHEN 7 THEN i.name ELSE c.name END AS minor_name, "
     "e.minor_id FROM sys.extended_properties e "
     "LEFT JOIN sys.objects o ON e.class IN (1, 7) AND o.object_id = e.major_id "
     "LEFT JOIN sys.objects p ON p.object_id = o.parent_object_id "
     "LEFT JOIN sys.columns c ON e.class = 1 AND c.object_id = e.major_id AND c.column_id = e.minor_id "
     "LEFT JOIN sys.indexes i ON e.class = 7 AND i.object_id = e.major_id AND i.index_id = e.minor_id "
     "LEFT JOIN sys.types t ON e.class = 6 AND t.user_type_id = e.major_id "
     "WHERE e.name NOT LIKE N'nopsnap%' AND NOT (e.class = 1 AND (o.object_id IS NULL OR o.is_ms_shipped = 1)) "
     "ORDER BY e.class, 5, 8, 6, 10, e.name"},
    {SET_SCOPED_CONFIGURATION, "database_scoped_configurations",
     "/* nopsnap: scoped configuration */ SELECT g.name, CAST(g.value AS nvarchar(256)) AS value "
     "FROM sys.database_scoped_configurations g WHERE g.name NOT LIKE N'babelfish%'"
     "{database_scoped_configurations.is_value_default| AND g.is_value_default = 0| AND 1 = 0} ORDER BY g.name"},
    {SET_OTHERS, NULL,
     "/* nopsnap: others */ SELECT o.type_desc AS kind, SCHEMA_NAME(o.schema_id) AS schema_name, o.name FROM sys.objects o "
     "WHERE o.is_ms_shipped = 0 AND o.type NOT IN ('U', 'V', 'P', 'FN', 'IF', 'TF', 'TR', 'R', 'D', 'C', 'F', 'PK', 'UQ', "
     "'SO', 'SN', 'TT', 'S', 'IT') "
     "{assemblies|UNION ALL SELECT N'ASSEMBLY', NULL, a.name FROM sys.assemblies a WHERE a.is_user_defined = 1 |}"
     "{partition_functions|UNION ALL SELECT N'PARTITION_FUNCTION', NULL, f.name FROM sys.partition_functions f |}"
     "{certificates|UNION ALL SELECT N'CERTIFICATE', NULL, c.name FROM sys.certificates c WHERE c.name NOT LIKE N'##%' |}"
     "{symmetric_keys|UNION ALL SELECT N'SYMMETRIC_KEY', NULL, k.name FROM sys.symmetric_keys k |}"
     "{asymmetric_keys|UNION ALL SELECT N'ASYMMETRIC_KEY', NULL, k.name FROM sys.asymmetric_keys k |}"
     "{plan_guides|UNION ALL SELECT N'PLAN_GUIDE', NULL, g.name FROM sys.plan_guides g |}"
     "{fulltext_stoplists|UNION ALL SELECT N'FULLTEXT_STOPLIST', NULL, l.name FROM sys.fulltext_stoplists l |}"
     "{registered_search_property_lists|UNION ALL SELECT N'SEARCH_PROPERTY_LIST', NULL, l.name FROM "
     "sys.registered_search_property_lists l |}"
     "{database_audit_specifications|UNION ALL SELECT N'AUDIT_SPECIFICATION', NULL, a.name FROM "
     "sys.database_audit_specifications a |}"
     "{security_policies|UNION ALL SELECT N'SECURITY_POLICY', NULL, y.name FROM sys.security_policies y "
     "WHERE y.is_ms_shipped = 0 AND 1 = 0 |}"
     "{change_tracking_tables|UNION ALL SELECT N'CHANGE_TRACKING', OBJECT_SCHEMA_NAME(c.object_id), "
     "OBJECT_NAME(c.object_id) FROM sys.change_tracking_tables c |}"
     "{numbered_procedures|UNION ALL SELECT N'NUMBERED_PROCEDURE', OBJECT_SCHEMA_NAME(n.object_id), "
     "OBJECT_NAME(n.object_id) FROM sys.numbered_procedures n |}"
     "{filegroups|UNION ALL SELECT N'FILEGROUP', NULL, g.name FROM sys.filegroups g WHERE CAST(g.is_default AS int) = 0 |}"
     "ORDER BY 1, 2, 3"},
};

static const char xml_collections_count[] =
    "/* nopsnap: count of xml schema collections */ SELECT COUNT(*) FROM sys.xml_schema_collections x WHERE "
    "SCHEMA_NAME(x.schema_id) <> N'sys'";

/* How many there are: asked first where the query wants a function that a server without any may not have. */
static const char *const gates[SET_COUNT] = {[SET_XML_COLLECTIONS] = xml_collections_count};

/* ---- which views there are ---- */

static const char views_query[] =
    "/* nopsnap: catalog */ SELECT v.name AS view_name, c.name AS column_name FROM sys.all_views v "
    "JOIN sys.all_columns c ON c.object_id = v.object_id WHERE v.schema_id = SCHEMA_ID(N'sys') AND (v.name IN "
    "(N'tables', N'columns', N'sequences', N'stats', N'partitions', N'table_types', N'database_principals', "
    "N'database_scoped_configurations') OR c.column_id = 1)";

static bool view_has(const struct sqlserver_rows *views, const char *view, size_t view_len, const char *column,
                     size_t column_len)
{
    for (size_t i = 0; i < views->count; i++) {
        const char *v = sqlserver_cell_or(views, i, "view_name", "");
        const char *c = sqlserver_cell_or(views, i, "column_name", "");

        if (strlen(v) == view_len && strncasecmp(v, view, view_len) == 0 &&
            (!column || (strlen(c) == column_len && strncasecmp(c, column, column_len) == 0)))
            return true;
    }
    return false;
}

/* p stands behind the opening brace; returns behind the closing one. */
static const char *expand_one(const struct sqlserver_rows *views, const char *p, struct buffer *out,
                              enum error_kind *rc, struct error *err)
{
    size_t name = strcspn(p, "|");
    const char *there = p + name + 1;
    size_t there_len = strcspn(there, "|");
    const char *other = there + there_len + 1;
    size_t other_len = strcspn(other, "}");
    const char *dot = memchr(p, '.', name);
    size_t view_len = dot ? (size_t)(dot - p) : name;
    bool has = view_has(views, p, view_len, dot ? dot + 1 : NULL, dot ? name - view_len - 1 : 0);

    *rc = buffer_append(out, has ? there : other, has ? there_len : other_len, err);
    return other + other_len + 1;
}

static enum error_kind expand(const struct sqlserver_rows *views, const char *sql, struct buffer *out,
                              struct error *err)
{
    enum error_kind rc = OK;

    while (!rc && *sql) {
        size_t plain = strcspn(sql, "{");

        rc = buffer_append(out, sql, plain, err);
        sql += plain;
        if (!rc && *sql)
            sql = expand_one(views, sql + 1, out, &rc, err);
    }
    return rc;
}

/* ---- reading ---- */

static enum error_kind has_any(enum sqlserver_set set, sqlserver_ask_fn *ask, void *arg, bool *out, struct error *err)
{
    struct sqlserver_rows counted = {0};
    enum error_kind rc;

    *out = true;
    if (!gates[set])
        return OK;
    rc = ask(arg, gates[set], sqlserver_rows_add, &counted, err);
    *out = !rc && counted.count && counted.cells[0] && strcmp(counted.cells[0], "0") != 0;
    sqlserver_rows_release(&counted);
    return rc;
}

static enum error_kind read_set(struct sqlserver_schema *s, size_t q, sqlserver_ask_fn *ask, void *arg,
                                struct error *err)
{
    struct buffer sql = BUFFER_INIT(QUERY_MAX);
    bool some = false;
    enum error_kind rc;

    if (queries[q].needs && !view_has(&s->views, queries[q].needs, strlen(queries[q].needs), NULL, 0))
        return OK;
    rc = has_any(queries[q].set, ask, arg, &some, err);
    if (rc || !some)
        return rc;
    rc = expand(&s->views, queries[q].sql, &sql, err);
    if (!rc)
        rc = ask(arg, (char *)sql.data, sqlserver_rows_add, &s->sets[queries[q].set], err);
    buffer_release(&sql);
    return rc;
}

enum error_kind sqlserver_schema_read(sqlserver_ask_fn *ask, void *arg, struct sqlserver_schema **out,
                                      struct error *err)
{
    struct sqlserver_schema *s = NULL;
    void *memory = NULL;
    enum error_kind rc = memory_zeroed(1, sizeof *s, &memory, err);

    if (rc)
        return rc;
    s = memory;
    rc = ask(arg, views_query, sqlserver_rows_add, &s->views, err);
    for (size_t q = 0; !rc && q < sizeof queries / sizeof queries[0]; q++)
        rc = read_set(s, q, ask, arg, err);
    if (rc) {
        error_context(err, "reading the schema");
        sqlserver_schema_free(s);
        return rc;
    }
    *out = s;
    return OK;
}

void sqlserver_schema_free(struct sqlserver_schema *s)
{
    if (!s)
        return;
    sqlserver_rows_release(&s->views);
    for (size_t i = 0; i < SET_COUNT; i++)
        sqlserver_rows_release(&s->sets[i]);
    free(s);
}

enum error_kind sqlserver_schema_script(const struct sqlserver_schema *s, struct sqlserver_script *out,
                                        struct error *err)
{
    enum error_kind rc = sqlserver_script_database(s, out, err);

    if (!rc)
        rc = sqlserver_script_principals(s, out, err);
    if (!rc)
        rc = sqlserver_script_types(s, out, err);
    if (!rc)
        rc = sqlserver_script_tables(s, out, err);
    if (!rc) /* before the indexes, some of which are of views */
        rc = sqlserver_script_modules(s, out, err);
    if (!rc)
        rc = sqlserver_script_indexes(s, out, err);
    if (!rc)
        rc = sqlserver_script_constraints(s, out, err);
    if (!rc)
        rc = sqlserver_script_fulltext(s, out, err);
    if (!rc)
        rc = sqlserver_script_properties(s, out, err);
    return rc ? rc : sqlserver_script_sort(out, err);
}

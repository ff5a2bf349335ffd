-- Everything a plugin or an owner may have put into a shop's database beside nopCommerce's own tables. Run as its owner.
CREATE SCHEMA plugin;
COMMENT ON SCHEMA plugin IS 'tables of a plugin';
CREATE TYPE plugin.colour AS ENUM ('red', 'green');
CREATE DOMAIN plugin.percent AS integer CHECK (VALUE BETWEEN 0 AND 100);
CREATE TYPE plugin.pair AS (a integer, b text);
CREATE SEQUENCE plugin.counter START 1000 INCREMENT 7;
SELECT nextval('plugin.counter'), nextval('plugin.counter');
CREATE TABLE plugin."Kinds" ("Id" integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY, name text COLLATE "C",
    colour plugin.colour, share plugin.percent, pair plugin.pair, doubled integer GENERATED ALWAYS AS (length(name) * 2) STORED,
    bytes bytea, since timestamptz, n numeric(30, 10), j jsonb, words text[], CONSTRAINT named CHECK (name <> 'x'));
INSERT INTO plugin."Kinds" (name, colour, share, pair, bytes, since, n, j, words) VALUES
    ('', 'red', 0, ROW (1, 'a'), ''::bytea, '2026-01-01 00:00:00+00', 0.1, '{"a": [1, null]}', '{}'),
    (NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL),
    (E'tab\tnewline\nbackslash\\ 𝄞 👩‍👩‍👧 \u00e9', 'green', 100, ROW (NULL, ''), '\x00ff0a0d5c', 'infinity', 12345678901234567890.0123456789,
     '"text"', ARRAY['a,b', NULL, '"']);
COMMENT ON TABLE plugin."Kinds" IS 'with ''quotes'' and 👍';
COMMENT ON COLUMN plugin."Kinds".name IS 'a name';
CREATE TABLE plugin."weird ""name"".dot" ("Id" bigint PRIMARY KEY);
INSERT INTO plugin."weird ""name"".dot" VALUES (9007199254740993);
CREATE TABLE plugin.by_day (day date NOT NULL, n integer) PARTITION BY RANGE (day);
CREATE TABLE plugin.by_day_1 PARTITION OF plugin.by_day FOR VALUES FROM ('2026-01-01') TO ('2026-02-01');
CREATE TABLE plugin.by_day_2 PARTITION OF plugin.by_day DEFAULT;
INSERT INTO plugin.by_day VALUES ('2026-01-15', 1), ('2026-05-15', 2), ('2026-06-15', 3);
CREATE TABLE plugin.parent (a integer);
CREATE TABLE plugin.child (b integer) INHERITS (plugin.parent);
INSERT INTO plugin.parent VALUES (1);
INSERT INTO plugin.child VALUES (2, 2), (3, 3);
CREATE UNLOGGED TABLE plugin.unlogged (a integer);
INSERT INTO plugin.unlogged VALUES (1);
CREATE VIEW plugin.orders AS SELECT "Id", "OrderTotal" FROM public."Order" WHERE "OrderTotal" > 100;
CREATE MATERIALIZED VIEW plugin.totals AS SELECT sum("OrderTotal") FROM public."Order";
CREATE FUNCTION plugin.touch() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN NEW.name := coalesce(NEW.name, 'unnamed'); RETURN NEW; END $$;
CREATE TRIGGER touch BEFORE INSERT ON plugin."Kinds" FOR EACH ROW EXECUTE FUNCTION plugin.touch();
CREATE TRIGGER off BEFORE UPDATE ON plugin."Kinds" FOR EACH ROW EXECUTE FUNCTION plugin.touch();
ALTER TABLE plugin."Kinds" DISABLE TRIGGER off;
CREATE FUNCTION public.nop_total(integer) RETURNS numeric LANGUAGE sql STABLE AS 'SELECT "OrderTotal" FROM public."Order" WHERE "Id" = $1';
CREATE PROCEDURE public.nop_noop() LANGUAGE sql AS 'SELECT 1';
CREATE AGGREGATE public.nop_sum(integer) (SFUNC = int4pl, STYPE = integer, INITCOND = '0');
CREATE INDEX kinds_expression ON plugin."Kinds" (lower(name)) WHERE share > 10;
CREATE TABLE plugin.private (who text, what text);
ALTER TABLE plugin.private ENABLE ROW LEVEL SECURITY;
CREATE POLICY own ON plugin.private TO reader USING (who = current_user);
INSERT INTO plugin.private VALUES ('reader', 'a'), ('nobody', 'b');
GRANT USAGE ON SCHEMA plugin TO reader;
GRANT SELECT ON plugin.orders, plugin.private TO reader;
GRANT SELECT ("Id", name) ON plugin."Kinds" TO reader WITH GRANT OPTION;
ALTER DEFAULT PRIVILEGES IN SCHEMA plugin GRANT SELECT ON TABLES TO reader;
REVOKE EXECUTE ON FUNCTION public.nop_total(integer) FROM PUBLIC;
SELECT lo_from_bytea(4242, '\x00010203ff');
COMMENT ON LARGE OBJECT 4242 IS 'a large object';
SELECT lo_from_bytea(4243, decode(repeat('ab', 5000), 'hex'));
GRANT SELECT ON LARGE OBJECT 4242 TO reader;
CREATE STATISTICS plugin.together ON share, n FROM plugin."Kinds";
CREATE COLLATION plugin.posix (locale = 'C');

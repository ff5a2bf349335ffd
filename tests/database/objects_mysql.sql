-- One of every kind of object that a MySQL or MariaDB database can hold and that has to come back. Run in the shop's database.
SET NAMES utf8mb4;
SET SESSION sql_mode = 'STRICT_TRANS_TABLES';

CREATE TABLE counted (Id bigint NOT NULL AUTO_INCREMENT, kind enum('a', 'b'), PRIMARY KEY (Id)) ENGINE=InnoDB AUTO_INCREMENT=5000;
INSERT INTO counted (kind) VALUES ('a'), ('b');
DELETE FROM counted WHERE Id = 5001; -- the next one is 5002 all the same
CREATE TABLE parts (
    whole bigint NOT NULL, number int NOT NULL, ups int, PRIMARY KEY (whole, number),
    CONSTRAINT fk_parts_counted FOREIGN KEY (whole) REFERENCES counted (Id) ON DELETE CASCADE ON UPDATE RESTRICT
) ENGINE=InnoDB;
ALTER TABLE parts ADD CONSTRAINT fk_parts_self FOREIGN KEY (whole, ups) REFERENCES parts (whole, number);
INSERT INTO parts VALUES (5000, 1, NULL), (5000, 2, 1);

CREATE TABLE texts (
    Id int NOT NULL AUTO_INCREMENT, t longtext, b longblob, v varbinary(20), j json, d datetime(6), y year, bits bit(9),
    n decimal(30, 10), f double, g geometry, computed double GENERATED ALWAYS AS (f * 2) STORED,
    imagined varchar(40) GENERATED ALWAYS AS (CONCAT('<', LEFT(t, 10), '>')) VIRTUAL,
    noticed timestamp NULL DEFAULT CURRENT_TIMESTAMP ON UPDATE CURRENT_TIMESTAMP, PRIMARY KEY (Id),
    FULLTEXT KEY words (t), KEY backwards (d, n), CHECK (n < 100)
) ENGINE=InnoDB COMMENT='a comment; with ''quotes'' and INSERT INTO `x` VALUES (1)';
INSERT INTO texts (t, b, v, j, d, y, bits, n, f, g, noticed) VALUES
    ('', '', '', '{}', '2026-02-28 23:59:59.999999', 2026, b'101010101', 1.0000000001, 0.1, ST_GeomFromText('POINT(1 2)'), '2026-01-01'),
    (NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL),
    ('four bytes: ðŸ›’ðŸ‘• ð œŽ', 0x00FF5C27220A0D1A, 0x00, '["\\""]', '0001-01-01 00:00:00.000001', 1901, b'0', -99999999999999999999.9999999999, 1e-300, NULL, '2038-01-01'),
    ('it''s a "quote"; a \\ backslash, a line\nand\r\na tab\t; ),( '');\nINSERT INTO `texts` VALUES (9,''no row'');\n/*!50106 CREATE*/', 'DELIMITER ;;\n', '-- no comment', NULL, '2026-01-01', 2000, b'1', 0, 0, NULL, NULL),
    (REPEAT('long ', 20000), REPEAT(0x00, 70000), NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL);
CREATE TABLE `odd ``name``, "so" (1)` (`Id` int NOT NULL, `a ``b`` VALUES (` varchar(20), PRIMARY KEY (`Id`)) ENGINE=InnoDB;
INSERT INTO `odd ``name``, "so" (1)` VALUES (-3, '`'), (7, ')');
CREATE TABLE late_id (name varchar(20) NOT NULL, ID int NOT NULL, hidden int AS (ID + 1) VIRTUAL, PRIMARY KEY (ID)) ENGINE=InnoDB;
INSERT INTO late_id (name, ID) VALUES ('a, (b', 41), ('x', 42);
CREATE TABLE no_key (a int, b varchar(10)) ENGINE=InnoDB;
INSERT INTO no_key VALUES (1, 'x'), (1, 'x'), (NULL, NULL);
CREATE TABLE empty_one (Id int NOT NULL AUTO_INCREMENT PRIMARY KEY) ENGINE=InnoDB;
CREATE TABLE text_id (Id varchar(36) NOT NULL PRIMARY KEY) ENGINE=InnoDB;
INSERT INTO text_id VALUES ('abc');
CREATE TABLE old_style (Id int NOT NULL AUTO_INCREMENT PRIMARY KEY, a int) ENGINE=MyISAM;
INSERT INTO old_style (a) VALUES (1), (2);
CREATE TABLE parted (Id int NOT NULL, y int NOT NULL, PRIMARY KEY (Id, y)) ENGINE=InnoDB
    PARTITION BY RANGE (y) (PARTITION p0 VALUES LESS THAN (2020), PARTITION p1 VALUES LESS THAN MAXVALUE);
INSERT INTO parted VALUES (1, 2019), (2, 2026);
CREATE SEQUENCE numbers START WITH 100 INCREMENT BY 5 NOCACHE;
SELECT NEXTVAL(numbers);

DELIMITER //
CREATE TRIGGER counted_a BEFORE INSERT ON counted FOR EACH ROW
BEGIN
    -- a comment with an apostrophe: don't
    SET NEW.kind = COALESCE(NEW.kind, 'b');
END//
CREATE TRIGGER counted_b BEFORE INSERT ON counted FOR EACH ROW SET @second = 1//
CREATE TRIGGER counted_c BEFORE INSERT ON counted FOR EACH ROW PRECEDES counted_b SET @first = 1//
CREATE FUNCTION twice(n int) RETURNS int DETERMINISTIC COMMENT 'doubles' RETURN n * 2//
CREATE PROCEDURE refill(IN how_many int, OUT done int)
    MODIFIES SQL DATA
    SQL SECURITY INVOKER
BEGIN
INSERT INTO `no_key` VALUES (1,'in a procedure');
    SET done = how_many;
END//
DELIMITER ;
CREATE VIEW z_view AS SELECT ID, name, twice(ID) AS doubled FROM late_id WHERE name <> 'it''s; INSERT INTO `no_key` VALUES (1)';
CREATE ALGORITHM=MERGE SQL SECURITY INVOKER VIEW a_view AS SELECT c.Id, z.name FROM counted c LEFT JOIN z_view z ON z.ID = c.Id;
CREATE VIEW checked AS SELECT * FROM counted WHERE Id > 0 WITH CASCADED CHECK OPTION;
SET SESSION time_zone = '+02:00';
CREATE EVENT running ON SCHEDULE EVERY 1 DAY STARTS '2030-01-01 00:00:00' ON COMPLETION PRESERVE COMMENT 'ENABLE; DISABLE'
    DO DELETE FROM no_key WHERE b = 'ON COMPLETION PRESERVE ENABLE';
CREATE EVENT sleeping ON SCHEDULE AT '2035-01-01 00:00:00' DISABLE DO INSERT INTO no_key VALUES (2, 'slept');
SET SESSION time_zone = '+00:00';
SET NAMES latin1;
SET SESSION sql_mode = 'PIPES_AS_CONCAT';
CREATE PROCEDURE latin() SELECT 'café' || 'ß';

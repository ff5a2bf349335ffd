"""What the parser of the model takes for T-SQL, and what it refuses with the line and number that a server would give."""
import tds_support
from tsql_batch import parse
from tsql_lex import SyntaxFault

GRAMMATICAL = [
    "CREATE TABLE [dbo].[T] ([Id] int IDENTITY(1,1) NOT NULL, [N] nvarchar(max) COLLATE Latin1_General_CI_AS NULL, "
    "CONSTRAINT [PK] PRIMARY KEY CLUSTERED ([Id] ASC))",
    "ALTER TABLE [dbo].[T] WITH CHECK ADD CONSTRAINT [F] FOREIGN KEY([A]) REFERENCES [dbo].[U] ([B]) ON DELETE CASCADE",
    "CREATE UNIQUE NONCLUSTERED INDEX [I] ON [dbo].[T]([A] DESC) INCLUDE ([B]) WHERE [A] IS NOT NULL",
    "SET TEXTSIZE -1; SET ANSI_NULLS, ANSI_PADDING ON; SET DATEFORMAT ymd; SELECT @@TEXTSIZE",
    "ALTER DATABASE [x] SET SINGLE_USER WITH ROLLBACK IMMEDIATE",
    "ALTER DATABASE [x] MODIFY NAME = [y]",
    "CREATE DATABASE [s] ON (NAME = [a], FILENAME = N'/d/a.ss'), (NAME = N'b', FILENAME = 'b.ss') AS SNAPSHOT OF [x]",
    "USE [master]; RESTORE DATABASE [x] FROM DATABASE_SNAPSHOT = 's'",
    "ALTER DATABASE [x] MODIFY FILE (NAME = [l], SIZE = 8192KB, FILEGROWTH = 10%, MAXSIZE = UNLIMITED)",
    "SELECT 'it''s' AS [a]]b] /* one /* in another */ */ -- and the rest",
]

UNGRAMMATICAL = [
    "CREATE TABLE [T] ([Id] int,, [B] int)",
    "CREATE TABLE [T] (",
    "SELECT FROM",
    "CREATE INDEX ON [T](A)",
    "ALTER TABLE [T] ADD CONSTRAINT",
    "SELECT 'open",
    "CREATE DATABASE [s] ON (NAME = [a], FILENAME = N'/d/a.ss', SIZE = 8MB) AS SNAPSHOT OF [x]",
    "CREATE DATABASE [s] ON (NAME = [a], FILENAME = N'/d/a.ss') LOG ON (NAME = [l], FILENAME = N'/d/l.ss') AS SNAPSHOT OF [x]",
    "CREATE DATABASE [s] AS SNAPSHOT OF [x]",
    "RESTORE DATABASE [x] FROM DATABASE_SNAPSHOT = N's'",
    "ALTER DATABASE [x] MODIFY FILE (NAME = [l], SIZE = 8193KB)",
    "SELECT 1 /* open /* */",
]


def grammar__what_nopsnap_writes_is_taken():
    for sql in GRAMMATICAL:
        try:
            parse(sql)
        except SyntaxFault as e:
            raise tds_support.Failed(f"{sql}: {e}") from e


def grammar__what_is_not_tsql_is_refused():
    for sql in UNGRAMMATICAL:
        try:
            parse(sql)
        except SyntaxFault:
            continue
        raise tds_support.Failed(f"was taken: {sql}")


if __name__ == "__main__":
    tds_support.main([grammar__what_nopsnap_writes_is_taken, grammar__what_is_not_tsql_is_refused])

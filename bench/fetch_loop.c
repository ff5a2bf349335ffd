/*
 * What reading rows over FreeTDS costs by itself: every row of the named tables is fetched and its bytes are added up, and that is all.
 * The measure for nopsnap's dump of a SQL Server, see sqlserver.py. Built by it with: cc -O2 fetch_loop.c -lsybdb
 *
 *     FREETDSCONF=... fetch_loop SERVER USER PASSWORD_FILE DATABASE TABLE...
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sybdb.h>
#include <sybfront.h>

static int on_error(DBPROCESS *db, int severity, int number, int system, char *text, char *system_text)
{
    (void)db, (void)severity, (void)system, (void)system_text;
    fprintf(stderr, "fetch_loop: %d %s\n", number, text);
    exit(1);
}

static void fetch(DBPROCESS *db, const char *table, unsigned long *rows, unsigned long *bytes)
{
    dbfcmd(db, "SELECT * FROM [dbo].[%s]", table);
    if (dbsqlexec(db) == FAIL || dbresults(db) == FAIL)
        exit(1);
    while (dbnextrow(db) != NO_MORE_ROWS) {
        for (int i = 1; i <= dbnumcols(db); i++)
            if (dbdata(db, i))
                *bytes += (unsigned long)dbdatlen(db, i);
        ++*rows;
    }
    dbcancel(db);
}

int main(int argc, char **argv)
{
    unsigned long rows = 0, bytes = 0;
    char password[128] = "";
    LOGINREC *login;
    DBPROCESS *db;
    FILE *f;

    if (argc < 6 || dbinit() == FAIL || !(f = fopen(argv[3], "r")) || !fgets(password, sizeof(password), f))
        return 2;
    fclose(f);
    dberrhandle(on_error);
    password[strcspn(password, "\n")] = '\0';
    login = dblogin();
    DBSETLUSER(login, argv[2]);
    DBSETLPWD(login, password);
    db = dbopen(login, argv[1]);
    if (!db || dbuse(db, argv[4]) == FAIL)
        return 1;
    for (int i = 5; i < argc; i++)
        fetch(db, argv[i], &rows, &bytes);
    printf("%lu %lu\n", rows, bytes);
    dbexit();
    return 0;
}

/* Connection strings of the three providers, and the administrative login. */
#include "test_support.h"

#include <sys/stat.h>

#include "database_internal.h"

static struct database_target parsed(const char *provider, const char *text)
{
    struct database_target t = DATABASE_TARGET_INIT;
    struct error err = ERROR_INIT;

    if (database_target_parse(provider, text, &t, &err))
        fail_msg("%s: %s", text, err.text);
    return t;
}

static void refused(const char *provider, const char *text, const char *words)
{
    struct database_target t = DATABASE_TARGET_INIT;
    struct error err = ERROR_INIT;

    assert_int_equal(database_target_parse(provider, text, &t, &err), ERR_REFUSED);
    assert_null(t.host);
    if (!strstr(err.text, words))
        fail_msg("\"%s\" does not say \"%s\"", err.text, words);
    assert_null(strstr(err.text, "hunter2"));
    assert_null(strstr(err.hint, "hunter2"));
    assert_true(err.hint[0] != '\0');
}

static void target_parse__reads_npgsql(void **state)
{
    struct database_target t =
        parsed("PostgreSQL",
               "Host=db.example;Port=5433;Database=shop;Username=nop;Password=s;SSL Mode=VerifyFull;Pooling=true");

    (void)state;
    assert_int_equal(t.engine, DATABASE_POSTGRESQL);
    assert_string_equal(t.host, "db.example");
    assert_int_equal(t.port, 5433);
    assert_string_equal(t.name, "shop");
    assert_string_equal(t.user, "nop");
    assert_string_equal(t.password, "s");
    assert_string_equal(database_target_option(&t, "sslmode"), "VerifyFull");
    assert_string_equal(database_target_option(&t, "SSL MODE"), "VerifyFull");
    assert_null(database_target_option(&t, "nothing"));
    database_target_release(&t);
}

static void target_parse__reads_mysqlconnector(void **state)
{
    struct database_target t =
        parsed("mysql", "Server=localhost;User ID=nop;Password=s;Database=shop;Allow User Variables=True");

    (void)state;
    assert_int_equal(t.engine, DATABASE_MYSQL);
    assert_string_equal(t.host, "localhost");
    assert_int_equal(t.port, 0);
    assert_string_equal(t.user, "nop");
    database_target_release(&t);
}

static void target_parse__reads_sqlclient(void **state)
{
    struct database_target t = parsed(
        "sqlserver",
        "Data Source=tcp:db.example,1444;Initial Catalog=shop;Integrated Security=False;Persist Security Info=False;"
        "User ID=sa;Password=s;TrustServerCertificate=True");

    (void)state;
    assert_string_equal(t.host, "db.example");
    assert_int_equal(t.port, 1444);
    assert_string_equal(t.name, "shop");
    database_target_release(&t);
}

static void target_parse__follows_the_quoting_rules(void **state)
{
    static const struct {
        const char *text;
        const char *password;
    } cases[] = {
        {"Host=h;Database=d;Password=\"a;b\"", "a;b"},
        {"Host=h;Database=d;Password='a;\"b'", "a;\"b"},
        {"Host=h;Database=d;Password=\"a\"\"b\"", "a\"b"},
        {"Host=h;Database=d;Password='a''b'", "a'b"},
        {"Host=h;Database=d;Password=a=b=c", "a=b=c"},
        {"Host=h;Database=d;  password  =  a b  ; ;;", "a b"},
        {"Host=h;Database=d;Password=", ""},
        {"Host=h;Database=d;Password=' a '", " a "},
        {"Host=h;Database=d;Pwd=1;PASSWORD=2", "2"},
        {"Host=h;Database=d;Password=\xc3\xa9\xf0\x9f\x91\x8d", "\xc3\xa9\xf0\x9f\x91\x8d"},
        {"Host=h;Database=d;Password=a\"b", "a\"b"},
        {"\r\nHost=h;\r\nDatabase=d;\r\nPassword=x\r\n", "x"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct database_target t = parsed("postgresql", cases[i].text);

        assert_string_equal(t.password, cases[i].password);
        assert_string_equal(t.host, "h");
        assert_string_equal(t.name, "d");
        database_target_release(&t);
    }
}

static void target_parse__doubled_equals_belongs_to_the_key(void **state)
{
    struct database_target t = parsed("postgresql", "Host=h;Database=d;a==b=c");

    (void)state;
    assert_int_equal(t.count, 1);
    assert_string_equal(t.keys[0], "a=b");
    assert_string_equal(t.values[0], "c");
    database_target_release(&t);
}

static void target_parse__takes_ports_out_of_hosts(void **state)
{
    struct database_target a = parsed("postgresql", "Host=db:6000;Database=d");
    struct database_target b = parsed("postgresql", "Host=::1;Database=d");
    struct database_target c = parsed("postgresql", "Host=/run/post:gres;Database=d");

    (void)state;
    assert_string_equal(a.host, "db");
    assert_int_equal(a.port, 6000);
    assert_string_equal(b.host, "::1");
    assert_int_equal(b.port, 0);
    assert_string_equal(c.host, "/run/post:gres");
    database_target_release(&a);
    database_target_release(&b);
    database_target_release(&c);
}

static void target_parse__refuses_what_it_cannot_honour(void **state)
{
    char *long_text = NULL;

    (void)state;
    refused("oracle", "Host=h;Database=d;Password=hunter2", "provider");
    refused("sqlce", "Data Source=x;Password=hunter2", "provider");
    refused("postgresql", "Database=d;Password=hunter2", "no host");
    refused("postgresql", "Host=h;Password=hunter2", "no database");
    refused("postgresql", "", "no host");
    refused("postgresql", "hunter2", "key=value");
    refused("postgresql", "Host=h;Database=d;hunter2;x=y", "key=value");
    refused("postgresql", "Host=h;Database=d;=hunter2", "key=value");
    refused("postgresql", "Host=h;Database=d;Password=\"hunter2", "quote");
    refused("postgresql", "Host=h;Database=d;Password=\"hunter2\"x", "after a quoted value");
    refused("postgresql", "Host=h;Database=d;Port=hunter2", "port");
    refused("postgresql", "Host=h;Database=d;Port=70000;Password=hunter2", "port");
    refused("postgresql", "Host=a,b;Database=d;Password=hunter2", "several hosts");
    refused("mysql", "Server=h;Database=d;Pipe Name=hunter2", "Pipe Name");
    refused("mysql", "Server=h;Database=d;SSH Host Name=x;Password=hunter2", "SSH Host Name");
    refused("sqlserver", "Server=.;AttachDbFilename=hunter2;Database=d", "AttachDbFilename");
    assert_true(asprintf(&long_text, "Host=h;Database=d;Password=%0100000d", 1) > 0);
    refused("postgresql", long_text, "longer");
    free(long_text);
}

static void target_shown__tells_no_secret(void **state)
{
    struct database_target t =
        parsed("postgresql", "Host=db.example;Port=5432;Database=shop;Username=u;Password=hunter2;Options=hunter2");
    struct error err = ERROR_INIT;
    char *shown = NULL;

    (void)state;
    assert_int_equal(database_target_shown(&t, &shown, &err), OK);
    assert_string_equal(shown, "PostgreSQL shop on db.example:5432");
    free(shown);
    database_target_release(&t);
}

static void target_same__sees_through_spellings(void **state)
{
    static const struct {
        const char *a;
        const char *b;
        bool same;
    } cases[] = {
        {"Host=db;Database=shop", "Host=DB;Port=5432;Database=shop;Username=other", true},
        {"Host=localhost;Database=shop", "Host=127.0.0.1;Database=shop", true},
        {"Host=localhost;Database=shop", "Host=/run/postgresql;Database=shop", true},
        {"Host=/a;Database=shop", "Host=/b;Database=shop", false},
        {"Host=db;Database=shop", "Host=db;Database=Shop", false},
        {"Host=db;Database=shop", "Host=db;Port=5433;Database=shop", false},
        {"Host=db;Database=shop", "Host=db2;Database=shop", false},
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct database_target a = parsed("postgresql", cases[i].a);
        struct database_target b = parsed("postgresql", cases[i].b);

        assert_int_equal(database_target_same(&a, &b), cases[i].same);
        database_target_release(&a);
        database_target_release(&b);
    }
}

static void write_file(const char *name, const char *text, mode_t mode)
{
    FILE *f = fopen(name, "w");

    assert_non_null(f);
    fputs(text, f);
    fclose(f);
    assert_int_equal(chmod(name, mode), 0);
}

static void target_admin__takes_what_is_open_from_the_shop(void **state)
{
    struct database_target shop =
        parsed("postgresql", "Host=db;Port=6000;Database=shop;Username=u;Password=p;SSL Mode=Require");
    struct database_target admin = DATABASE_TARGET_INIT;
    struct error err = ERROR_INIT;

    (void)state;
    write_file("admin", "Username=postgres;Password=root\n", 0600);
    assert_int_equal(database_target_admin(&shop, "admin", &admin, &err), OK);
    assert_string_equal(admin.host, "db");
    assert_int_equal(admin.port, 6000);
    assert_string_equal(admin.name, "shop");
    assert_string_equal(admin.user, "postgres");
    assert_string_equal(admin.password, "root");
    assert_string_equal(database_target_option(&admin, "SSL Mode"), "Require");
    database_target_release(&admin);
    assert_int_equal(database_target_admin(&shop, "service:main", &admin, &err), OK);
    assert_string_equal(admin.service, "main");
    assert_string_equal(admin.name, "shop");
    assert_null(admin.host); /* the service may name its own */
    database_target_release(&admin);
    database_target_release(&shop);
}

static void target_admin__logs_in_its_own_way(void **state)
{
    struct database_target shop = DATABASE_TARGET_INIT;
    struct database_target admin = DATABASE_TARGET_INIT;
    struct error err = ERROR_INIT;

    (void)state;
    assert_int_equal(database_target_parse("sqlserver",
                                           "Server=db;Database=shop;Integrated Security=True;Trusted_Connection=yes;"
                                           "Authentication=x;Encrypt=True",
                                           &shop, &err),
                     OK);
    write_file("admin", "User ID=sa;Password=root\n", 0600);
    assert_int_equal(database_target_admin(&shop, "admin", &admin, &err), OK);
    assert_string_equal(database_target_option(&admin, "Encrypt"), "True");
    assert_null(database_target_option(&admin, "Integrated Security"));
    assert_null(database_target_option(&admin, "Trusted_Connection"));
    assert_null(database_target_option(&admin, "Authentication"));
    database_target_release(&admin);
    database_target_release(&shop);
}

static void target_admin__knows_an_option_file(void **state)
{
    struct database_target shop = parsed("mysql", "Server=db;Database=shop;Uid=u;Pwd=p");
    struct database_target admin = DATABASE_TARGET_INIT;
    struct error err = ERROR_INIT;

    (void)state;
    write_file("admin.cnf", "# root\n[client]\nuser=root\npassword=x\n", 0600);
    assert_int_equal(database_target_admin(&shop, "admin.cnf", &admin, &err), OK);
    assert_string_equal(admin.service, "admin.cnf");
    assert_string_equal(admin.name, "shop");
    assert_int_equal(admin.engine, DATABASE_MYSQL);
    database_target_release(&admin);
    assert_int_equal(database_target_admin(&shop, "service:main", &admin, &err), ERR_REFUSED);
    database_target_release(&shop);
}

static void target_admin__refuses_a_file_open_to_others(void **state)
{
    struct database_target shop = parsed("postgresql", "Host=db;Database=shop");
    struct database_target admin = DATABASE_TARGET_INIT;
    struct error err = ERROR_INIT;

    (void)state;
    write_file("admin", "Username=postgres;Password=hunter2", 0644);
    assert_int_equal(database_target_admin(&shop, "admin", &admin, &err), ERR_REFUSED);
    assert_non_null(strstr(err.hint, "chmod 600"));
    error_clear(&err);
    assert_int_equal(database_target_admin(&shop, "no such file", &admin, &err), ERR_NOT_FOUND);
    database_target_release(&shop);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(target_parse__reads_npgsql),
        cmocka_unit_test(target_parse__reads_mysqlconnector),
        cmocka_unit_test(target_parse__reads_sqlclient),
        cmocka_unit_test(target_parse__follows_the_quoting_rules),
        cmocka_unit_test(target_parse__doubled_equals_belongs_to_the_key),
        cmocka_unit_test(target_parse__takes_ports_out_of_hosts),
        cmocka_unit_test(target_parse__refuses_what_it_cannot_honour),
        cmocka_unit_test(target_shown__tells_no_secret),
        cmocka_unit_test(target_same__sees_through_spellings),
        folder_test(target_admin__takes_what_is_open_from_the_shop),
        folder_test(target_admin__logs_in_its_own_way),
        folder_test(target_admin__knows_an_option_file),
        folder_test(target_admin__refuses_a_file_open_to_others),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* GO, as section E of the reference has it. */
#include "test_support.h"

#include "sqlserver_batches_internal.h"

struct expectation {
    const char *script;
    const char *batches[6]; /* "LINExREPEAT:text" */
};

static const struct expectation good[] = {
    {"SELECT 1", {"1x1:SELECT 1"}},
    {"SELECT 1\nGO\nSELECT 2\nGO", {"1x1:SELECT 1\n", "3x1:SELECT 2\n"}},
    {"SELECT 1\r\n  \tgo \t\r\nSELECT 2\r\nGo", {"1x1:SELECT 1\r\n", "3x1:SELECT 2\r\n"}},
    {"GO\n\nGO\n \t\nGO\nx", {"6x1:x"}},
    {"a\nGO 3\nb\ngo 2 -- twice\nc", {"1x3:a\n", "3x2:b\n", "5x1:c"}},
    {"a\nGO -- done\nb", {"1x1:a\n", "3x1:b"}},
    {"a\nGO--done\nb", {"1x1:a\n", "3x1:b"}},
    {"a GO\nb", {"1x1:a GO\nb"}},
    {"GOTO here\nGO_x\nGO1\ngo@\nGO\xc3\xa9\nhere:", {"1x1:GOTO here\nGO_x\nGO1\ngo@\nGO\xc3\xa9\nhere:"}},
    {"'it''s\nGO\n'\nGO\nx", {"1x1:'it''s\nGO\n'\n", "5x1:x"}},
    {"[a]]\nGO\n]\nGO\nx", {"1x1:[a]]\nGO\n]\n", "5x1:x"}},
    {"\"a\"\"\nGO\n\"\nGO\nx", {"1x1:\"a\"\"\nGO\n\"\n", "5x1:x"}},
    {"/* /* */\nGO\n*/\nGO\nx", {"1x1:/* /* */\nGO\n*/\n", "5x1:x"}},
    {"/* x */ GO\nx", {"1x1:/* x */ GO\nx"}},
    {"-- ' it's [ /*\nGO\nx", {"1x1:-- ' it's [ /*\n", "3x1:x"}},
    {"'/*'\nGO\n'*/'", {"1x1:'/*'\n", "3x1:'*/'"}},
    {"':r !!'\n-- $(x)\n/* $(x)\n:r x\n!!\n*/ x", {"1x1:':r !!'\n-- $(x)\n/* $(x)\n:r x\n!!\n*/ x"}},
    {"'$(document).ready(f); $(\"a\").x(); $(1); $(function() {}); $() $ ($x)'",
     {"1x1:'$(document).ready(f); $(\"a\").x(); $(1); $(function() {}); $() $ ($x)'"}},
    {"a\rGO\rb\r\n \tGO\t2 \r\nc\n\r\nGO\rd", {"1x1:a\r", "3x2:b\r\n", "5x1:c\n\r\n", "8x1:d"}},
    {"-- it's\rGO\r/*\r*/ GO\r'\r'\rGO --x\r\ry", {"1x1:-- it's\r", "3x1:/*\r*/ GO\r'\r'\r", "8x1:\ry"}},
    {"a\nGO 007\nb", {"1x7:a\n", "3x1:b"}},
    {"a\nGO 2--x\nb", {"1x2:a\n", "3x1:b"}},
    {"/**/ /*/ GO\nGO */ */\nGO\nx", {"1x1:/**/ /*/ GO\nGO */ */\n", "4x1:x"}},
    {"/*/*/**/\nGO\n*/*/\nGO\nx", {"1x1:/*/*/**/\nGO\n*/*/\n", "5x1:x"}},
    {"'a' -- '\nGO\n\"b' -- \"\nGO\n[c' /*] d", {"1x1:'a' -- '\n", "3x1:\"b' -- \"\n", "5x1:[c' /*] d"}},
    {"a\n  'x' GO\n;GO\n\\GO\nGOGO", {"1x1:a\n  'x' GO\n;GO\n\\GO\nGOGO"}},
    {"GO\r\nGO", {NULL}},
    {"'\n:r\n!! x'", {"1x1:'\n:r\n!! x'"}},
    {"a:b ::c\n  :: d", {"1x1:a:b ::c\n  :: d"}},
    {"\xef\xbb\xbfSELECT N'\xf0\x9f\x9b\x92'\nGO", {"1x1:SELECT N'\xf0\x9f\x9b\x92'\n"}},
    {"", {NULL}},
    {"GO", {NULL}},
};

static void batches__are_cut_at_go(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
        struct sqlserver_batches b = SQLSERVER_BATCHES_INIT;
        struct error err = ERROR_INIT;
        size_t expected = 0;

        if (sqlserver_batches_parse(good[i].script, strlen(good[i].script), &b, &err))
            fail_msg("%s: %s", good[i].script, err.text);
        while (expected < 6 && good[i].batches[expected])
            expected++;
        if (b.count != expected)
            fail_msg("%zu batches instead of %zu: %s", b.count, expected, good[i].script);
        for (size_t k = 0; k < b.count; k++) {
            char shown[400];

            snprintf(shown, sizeof shown, "%dx%u:%.*s", (int)b.items[k].line, b.items[k].repeat, (int)b.items[k].len,
                     (char *)b.text.data + b.items[k].begin);
            assert_string_equal(shown, good[i].batches[k]);
        }
        sqlserver_batches_release(&b);
    }
}

static const char *const bad[][2] = {
    {"a\nGO;\nb", "line 2: "},
    {"a\nGO x", "line 2: "},
    {"a\nGO /* x */", "line 2: "},
    {"a\nGO 1.5", "line 2: "},
    {"a\nGO -1", "line 2: "},
    {"a\nGO(", "line 2: "},
    {"a\nGO 0", "line 2: "},
    {"a\nGO 99999999999999999999", "line 2: "},
    {"a\nGO,", "line 2: something behind GO"},
    {"a\nGO 5;", "line 2: something behind GO"},
    {"a\nGO 5 5", "line 2: something behind GO"},
    {"a\nGO 5x", "line 2: something behind GO"},
    {"a\nGO +5", "line 2: something behind GO"},
    {"a\nGO 'x'", "line 2: something behind GO"},
    {"a\nGO[x]", "line 2: something behind GO"},
    {"a\nGO/* x */", "line 2: something behind GO"},
    {"a\nGO -x", "line 2: something behind GO"},
    {"a\nGO $(n)", "line 2: something behind GO"},
    {"a\nGO$x", "line 2: something behind GO"},
    {"a\nGO GO", "line 2: something behind GO"},
    {"a\nGO\f\nb", "line 2: something behind GO"},
    {"a\rGO;\rb", "line 2: something behind GO"},
    {"a\r\n\rGO;\rb", "line 3: something behind GO"},
    {"a\nGO\xc2\xa0\nb", "line 2: a character behind GO that can't be seen"},
    {"a\nGO \xe2\x80\x8b\nb", "line 2: a character behind GO that can't be seen"},
    {"a\nGO\n\xef\xbb\xbfGO", "line 3: a byte order mark within"},
    {"a\n'b\nGO\nc", "line 2: a text"},
    {"a\n[b\nGO\nc", "line 2: a name in brackets"},
    {"\"b", "line 1: a quoted name"},
    {"a\n\n/* /* */ b", "line 3: a comment"},
    {"a\n :r x.sql", "line 2: a command of sqlcmd, :r"},
    {":setvar x y", "line 1: a command of sqlcmd, :setvar"},
    {"a\r:On Error exit", "line 2: a command of sqlcmd, :On"},
    {"a\n!! dir", "line 2: a command of sqlcmd, !!"},
    {"a\n :!!dir", "line 2: a command of sqlcmd, :!!"},
    {"a\nUSE $(db)", "line 2: a variable of sqlcmd, $(db)"},
    {"a\nUSE [$(db_1)]", "line 2: a variable of sqlcmd, $(db_1)"},
    {"a\nPRINT 'a\nb $(a-b)'", "line 3: a variable of sqlcmd, $(a-b)"},
    {"a\nPRINT \"$$(x)\"", "line 2: a variable of sqlcmd, $(x)"},
    {"a\n$(\nb", "line 2: a variable of sqlcmd, $("},
    {"PRINT 'USE $(this)'", "line 1: a variable of sqlcmd, $(this)"},
    {"a\nb\xff", "line 2: text that is not UTF-8"},
    {"a\rb\r\n\n\xff", "line 4: text that is not UTF-8"},
    {"a\n\xed\xa0\x80", "line 2: text that is not UTF-8"},
};

static void script__that_can_not_be_run_as_it_is_is_refused_whole(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        struct sqlserver_batches b = SQLSERVER_BATCHES_INIT;
        struct error err = ERROR_INIT;

        if (sqlserver_batches_parse(bad[i][0], strlen(bad[i][0]), &b, &err) != ERR_REFUSED)
            fail_msg("not refused: %s", bad[i][0]);
        if (strncmp(err.text, bad[i][1], strlen(bad[i][1])) != 0)
            fail_msg("%s: %s", bad[i][0], err.text);
    }
    {
        struct sqlserver_batches b = SQLSERVER_BATCHES_INIT;
        struct error err = ERROR_INIT;

        assert_int_equal(sqlserver_batches_parse("a\0b", 3, &b, &err), ERR_REFUSED);
    }
}

static void script__in_utf16_is_read(void **state)
{
    static const char little[] = "\xff\xfeN\0'\0\x3d\xd8\xd2\xde'\0\n\0G\0O\0\n\0x\0";
    static const char big[] = "\xfe\xff\0N\0'\xd8\x3d\xde\xd2\0'\0\n\0G\0O\0\n\0x";
    static const char torn[] = "\xff\xfe\x3d\xd8x\0";
    struct error err = ERROR_INIT;

    (void)state;
    for (int i = 0; i < 2; i++) {
        struct sqlserver_batches b = SQLSERVER_BATCHES_INIT;

        assert_int_equal(sqlserver_batches_parse(i ? big : little, sizeof little - 1, &b, &err), OK);
        assert_int_equal(b.count, 2);
        assert_memory_equal((char *)b.text.data + b.items[0].begin, "N'\xf0\x9f\x9b\x92'\n", 8);
        sqlserver_batches_release(&b);
    }
    {
        struct sqlserver_batches b = SQLSERVER_BATCHES_INIT;

        assert_int_equal(sqlserver_batches_parse(torn, sizeof torn - 1, &b, &err), ERR_REFUSED);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(batches__are_cut_at_go),
        cmocka_unit_test(script__that_can_not_be_run_as_it_is_is_refused_whole),
        cmocka_unit_test(script__in_utf16_is_read),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

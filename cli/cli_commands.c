/*
 * The command table. Adding a verb: a row here, a file cli_<verb>.c, its line in CMakeLists.txt, its tests, its page in docs/.
 */
#include <string.h>

#include "cli.h"

const struct command cli_commands[] = {
    {"init", "", "make a catalogue",
     "The folder is named by --catalog before the command, or by `catalog =` in the config.\n\n"
     "Example:\n"
     "  nopsnap --catalog /backup/nopsnap init\n",
     cli_init},
    {"snapshot", "SITE [OPTIONS]", "save a shop: files, pictures, database",
     "SITE is a path, or a name from the config.\n\n"
     "  --mode online|stopped   stopped: the shop is stopped for the moment that matters\n"
     "  --tag T                 a word to find it by; may be repeated\n"
     "  --files-only            leave the database out; marked as partial\n"
     "  --database-only         leave the files out; marked as partial\n"
     "  --sqlserver-mode M      auto (SQL Server's own BACKUP where its files can be\n"
     "                          reached), native or logical\n"
     "  --exclude P             leave out what matches, e.g. 'wwwroot/files/exportimport/**'\n"
     "  --include P             save it although it is left out by default, e.g. 'wwwroot/images/thumbs/**'\n\n"
     "Examples:\n"
     "  nopsnap snapshot /var/www/shop\n"
     "  nopsnap snapshot shop --tag before-plugin\n",
     cli_snapshot},
    {"list", "[SITE]", "list snapshots, newest first",
     "Examples:\n"
     "  nopsnap list\n"
     "  nopsnap list /var/www/shop\n",
     cli_list},
    {"rollback", "SITE [OPTIONS]", "bring a shop back to a snapshot: files and database together",
     "Shows what will change and what will be lost, and asks. What is taken away becomes a snapshot, so that one more\n"
     "rollback undoes it.\n\n"
     "  --to ID                 the snapshot to go back to\n"
     "  --only files|database   only that part\n"
     "  --dry-run               only show the plan\n"
     "  --yes                   do not ask\n"
     "  --export-lost DIR       write orders, customers and addresses newer than the snapshot there, as CSV\n"
     "  --keep-connection       keep today's connection string (password or database changed since)\n"
     "  --shared                go on although another known site uses the same database or pictures\n"
     "  --other-host            the snapshot may be of another host or path\n\n"
     "Examples:\n"
     "  nopsnap rollback /var/www/shop --dry-run\n"
     "  nopsnap rollback /var/www/shop\n",
     cli_rollback},
    {"upgrade", "SITE RELEASE [OPTIONS]", "put a new version of nopCommerce in place, or leave all as it was",
     "RELEASE is an archive (zip, tar, 7z, rar), a folder that one was unpacked into, or an URL. The shop's own files,\n"
     "settings and pictures come over; the database is copied and the copy migrated. If anything fails the old shop runs\n"
     "again as if nothing had happened (exit status 4). Afterwards there is a trial, in which rollback takes seconds.\n\n"
     "  --dry-run               show the plan and every problem\n"
     "  --yes                   do not ask\n"
     "  --sha256 HEX            refuse a release with another sum\n"
     "  --scripts DIR           the packages of SQL scripts, for the versions to 4.30; as they come, unpacked or not\n"
     "  --via RELEASE           start this one on the way, then go on; may be said again, in the order of the versions\n"
     "  --from-release RELEASE  what the shop was made from: tells which of its files you have changed\n"
     "  --health-timeout TIME   how long the new version may take to migrate and answer\n"
     "  --trial TIME            keep what is taken away for so long (7d)\n"
     "  --shared                other sites use the same database: go on\n"
     "  --allow-same            also to the version that is there\n"
     "  --allow-downgrade       also to an older one\n\n"
     "Examples:\n"
     "  nopsnap upgrade shop nopCommerce_4.80.9_NoSource_linux_x64.zip --dry-run\n"
     "  nopsnap upgrade shop nopCommerce_4.80.9_NoSource_linux_x64.zip\n"
     "  nopsnap upgrade shop nopCommerce_4.30_NoSource_linux_x64.zip --scripts /root/upgrade-scripts\n",
     cli_upgrade},
    {"rehearse", "SITE RELEASE [OPTIONS]", "try an upgrade on a copy of the shop, which stays open",
     "A copy of the database is loaded under another name, the new version's tree built beside the shop and started there\n"
     "by `rehearse-start` of the config. Mail, tasks and keys in the copy lead nowhere; a setting with an address that\n"
     "nobody knows is refused by name. Everything is removed afterwards. Says how long the upgrade will take, and what\n"
     "broke (exit status 1).\n\n"
     "  --dry-run               show the plan of the upgrade and every problem\n"
     "  --sha256, --scripts, --via, --from-release, --health-timeout, --shared, --allow-same, --allow-downgrade\n"
     "                          as for upgrade, whose way is gone release by release\n"
     "  --host-network          the copy has this machine's network; else, where root rehearses, it reaches its database alone\n\n"
     "Sockets in the filesystem, and other databases that the shop's login may use, stay within the copy's reach.\n\n"
     "Examples:\n"
     "  nopsnap rehearse shop nopCommerce_4.80.9_NoSource_linux_x64.zip\n"
     "  nopsnap rehearse shop nopCommerce_4.30_NoSource_linux_x64.zip --scripts /root/upgrade-scripts\n",
     cli_rehearse},
    {"confirm", "SITE", "end the trial of an upgrade: what it took away goes",
     "The held snapshot of before stays.\n\n"
     "Example:\n"
     "  nopsnap confirm shop\n",
     cli_confirm},
    {"recover", "SITE", "finish or undo what a crash interrupted, and nothing else",
     "May be run any number of times.\n\n"
     "Example:\n"
     "  nopsnap recover /var/www/shop\n",
     cli_recover},
    {"restore", "ID [--target DIR] [OPTIONS]", "put a snapshot into a new place",
     "The shop itself is not touched. ID is the beginning of a snapshot's id, or \"latest\": the newest of all shops.\n\n"
     "  --target DIR            a folder that does not exist or is empty, for the files\n"
     "  --include P             only what matches; may be repeated\n"
     "  --database FILE         load the database too: FILE holds the connection string of an empty one\n"
     "  --keep-going            where data is damaged, restore the rest and name what is not\n"
     "  --other-host            the snapshot may be of another host\n\n"
     "Examples:\n"
     "  nopsnap restore latest --target /tmp/look\n"
     "  nopsnap restore 3f2a --target /tmp/look --include 'wwwroot/images/**'\n"
     "  nopsnap restore 3f2a --database /root/test-connection\n",
     cli_restore},
    {"export", "ID FILE.tar.zst|FILE.zip", "write a snapshot as an archive that other programs read",
     "The database's dump is database.dump in it. FILE must not exist.\n\n"
     "Example:\n"
     "  nopsnap export latest shop.tar.zst\n",
     cli_export},
    {"show", "ID", "tell all about one snapshot",
     "-v before the command lists every table and everything that could not be read.\n\n"
     "Examples:\n"
     "  nopsnap show 3f2a\n"
     "  nopsnap -v show latest\n",
     cli_show},
    {"ls", "ID[:PATH] [OPTIONS]", "list files in a snapshot",
     "  --recursive             and all below\n"
     "  --root NAME             other files than the site's, e.g. pictures (nopsnap show tells)\n\n"
     "Examples:\n"
     "  nopsnap ls latest\n"
     "  nopsnap ls 3f2a:Plugins --recursive\n",
     cli_ls},
    {"cat", "ID:PATH [--root NAME]", "print a file of a snapshot",
     "  --root NAME             other files than the site's\n\n"
     "Example:\n"
     "  nopsnap cat 3f2a:web.config > web.config.old\n",
     cli_cat},
    {"diff", "A [B|SITE]", "what changed since a snapshot",
     "A is a snapshot; the other one is a snapshot too, or a site; without it, the site that A is of.\n"
     "Where one of them tells the site, \"latest\" is the newest of that site.\n"
     "The exit status is 0 when they are equal, 3 when they differ.\n\n"
     "  + added   - removed   ~ content   ^ only attributes   ! type\n\n"
     "Examples:\n"
     "  nopsnap diff latest\n"
     "  nopsnap diff 3f2a 91c0\n",
     cli_diff},
    {"sql", "SITE FILE", "run a T-SQL script on the shop's SQL Server database",
     "FILE has batches between lines of GO. It is run as SQL Server Management Studio would, on one connection,\n"
     "and stops behind the first batch with an error; every error of it is told with file, line and batch. So it\n"
     "does when the script leaves a transaction open, or SET NOEXEC ON. Ctrl-C stops the batch that runs. What was\n"
     "run before stays: take a snapshot first.\n\n"
     "Example:\n"
     "  nopsnap snapshot shop && nopsnap sql shop upgrade.sql\n",
     cli_sql},
    {"status", "[SITE] [OPTIONS]", "how the sites are: newest snapshot, what is pending or kept",
     "One line a site, and under it what is wrong, the gravest first, with what to do. The exit status is 0 when all is\n"
     "well, 3 when somebody should look, 7 when stored data is damaged, 5 when something unfinished waits for recover.\n"
     "-v before the command tells more of each.\n\n"
     "  --metrics FILE          write the figures of all sites there, for the node exporter's textfile collector\n\n"
     "Examples:\n"
     "  nopsnap status\n"
     "  nopsnap status /var/www/shop\n"
     "  nopsnap -q status --metrics /var/lib/prometheus/node-exporter/nopsnap.prom\n",
     cli_status},
    {"report", "--html FILE", "one page to look at: how the shops are, what changed, what runs and drills said",
     "The page needs nothing from elsewhere, and no script. It names paths, folders and tables: it is made readable for\n"
     "you alone.\n\n"
     "  --html FILE             where it goes; replaced when it is there\n\n"
     "Example:\n"
     "  nopsnap report --html /root/nopsnap.html\n",
     cli_report},
    {"history", "SITE", "what was done to a site, newest first",
     "-v before the command lists the steps of each upgrade with how long they took.\n\n"
     "Example:\n"
     "  nopsnap history /var/www/shop\n",
     cli_history},
    {"hold", "ID [--reason TEXT]", "keep a snapshot from being forgotten",
     "  --reason TEXT           why, for whoever looks later\n\n"
     "Example:\n"
     "  nopsnap hold 3f2a --reason 'before the move'\n",
     cli_hold},
    {"release", "ID", "end the holds of a snapshot",
     "Example:\n"
     "  nopsnap release 3f2a\n",
     cli_release},
    {"accept", "ID", "count a flagged snapshot, or one of what a rollback took away, as good",
     "Example:\n"
     "  nopsnap accept 3f2a\n",
     cli_accept},
    {"forget", "ID...|SITE...|--all [OPTIONS]", "take snapshots out of the catalogue",
     "By id: what is held is refused; one wrong id, and nothing is forgotten.\n"
     "By site: what the rules do not keep, `keep` in the config or --keep. Held ones and the newest good one always stay.\n"
     "nopsnap prune then gives the room back.\n\n"
     "  --keep RULES            last N, within TIME, hourly N, daily N, weekly N, monthly N, yearly N\n"
     "  --all                   every site of the config that has rules\n"
     "  --dry-run               tell of each snapshot why it is kept or not, and forget none\n\n"
     "Examples:\n"
     "  nopsnap forget 3f2a 91c0\n"
     "  nopsnap forget shop --keep 'last 3, daily 7, weekly 5, monthly 12' --dry-run\n",
     cli_forget},
    {"prune", "[OPTIONS]", "give back the room of what no snapshot needs",
     "May be interrupted at any moment.\n\n"
     "  --max-unused N%         leave up to this share of the stored bytes unused (10%)\n"
     "  --dry-run               only tell\n\n"
     "Examples:\n"
     "  nopsnap prune --dry-run\n"
     "  nopsnap prune --max-unused 0%\n",
     cli_prune},
    {"verify", "[--read-data[=N%|=TIME]]", "check the catalogue",
     "Without options: that everything which snapshots refer to is there. The exit status is 7 when damage is found.\n\n"
     "  --read-data             read and check every byte\n"
     "  --read-data=5%          that share, what was not checked for the longest time first\n"
     "  --read-data=10m         for that long\n\n"
     "Examples:\n"
     "  nopsnap verify\n"
     "  nopsnap verify --read-data=10m\n",
     cli_verify},
    {"run", "SITE|--all [OPTIONS]", "a scheduled backup: snapshot, retention, prune, verification",
     "What a timer starts. In this order: what a transaction kept goes when its time has come; a snapshot; the rules of\n"
     "`keep`; prune; a share of the data is read; a restore drill, if `drill` says that one is due; the command of\n"
     "`after-run`. A step that fails does not stop those that\n"
     "make sense without it. Nothing is forgotten without a new snapshot, and nothing is done while an upgrade or a\n"
     "rollback is under way (6) or unfinished (5). 1 when the snapshot failed.\n\n"
     "  --all                   every site of the config, one after the other\n"
     "  --wait TIME             wait so long for another run of the site (10m)\n"
     "  --skip                  do not wait: end with 6\n"
     "  --keep RULES            instead of `keep` in the config: 'last 3, daily 7, weekly 5'\n"
     "  --dry-run               only tell\n\n"
     "Examples:\n"
     "  nopsnap run shop\n"
     "  nopsnap run --all --skip\n",
     cli_run},
    {"schedule", "[SITE [OPTIONS]]", "write the timer that starts runs of a site; or list the timers",
     "A timer, a sandboxed service and one that tells where that fails, of systemd, which catches up on what was missed\n"
     "while the machine was off; or, where there is no systemd, a file for cron, which does not. Files that were changed\n"
     "by hand are not replaced. Without a time the site's schedule is brought up to date with the config; without a site\n"
     "all are listed, with the next and the last run.\n\n"
     "  --at HH:MM              every day\n"
     "  --every TIME            a time that a day is divided by (30m, 6h), 1d or 1w\n"
     "  --on-calendar EXPR      as systemd says it: man systemd.time\n"
     "  --delay TIME            systemd starts it up to so much later, at random (a twelfth of the rhythm, 10m at most)\n"
     "  --keep RULES            retention instead of `keep` in the config: 'last 3, daily 7, weekly 5'\n"
     "  --systemd, --cron       which of both; by itself systemd where it runs\n"
     "  --force                 replace or remove what was changed by hand; it stays as .bak\n"
     "  --remove                the site's schedule goes\n"
     "  --dry-run               show what would be written\n\n"
     "Examples:\n"
     "  nopsnap schedule shop --at 03:00 --keep 'last 3, daily 7, weekly 5, monthly 12'\n"
     "  nopsnap schedule shop --on-calendar 'Mon..Fri 22:30'\n"
     "  nopsnap schedule\n"
     "  nopsnap schedule shop --remove\n",
     cli_schedule},
    {"drill", "SITE [SNAPSHOT] [OPTIONS]",
     "prove that a snapshot can be restored: do it beside the shop, compare, remove",
     "The files are restored into a folder of their own, the dump is loaded into a database of another name on the shop's\n"
     "server; every file is compared with the snapshot, the rows of every table are counted; then all of it is removed.\n"
     "The shop runs on and is not touched. Without SNAPSHOT the newest good one. 7 when something\n"
     "is not as it was saved, 1 when it could not be tried, 6 or 5 while an upgrade or a rollback is under way or\n"
     "unfinished. `drill = weekly` in the config lets `run` do it.\n\n"
     "  --scratch DIR           an existing folder with room for the files (drill-folder of the config, else the\n"
     "                          catalogue's)\n\n"
     "Examples:\n"
     "  nopsnap drill shop\n"
     "  nopsnap drill shop 3f2a --scratch /srv/scratch\n",
     cli_drill},
    {"rebuild", "", "make the catalogue's index again from its packs",
     "For a damaged, lost or outdated catalog.sqlite. No snapshot is lost, none that was forgotten comes back.\n\n"
     "Example:\n"
     "  nopsnap --catalog /backup/nopsnap rebuild\n",
     cli_rebuild},
    {"notify", "[SITE] [--test | --failed UNIT]", "tell of sites whose newest snapshot is too old; or test who is told",
     "Who is told is in the config: notify-webhook, notify-mail-to, notify-ping. Runs tell by themselves of failures, of the\n"
     "first success after one, and of sites that are overdue. Without --test only the latter is looked for, in all sites.\n\n"
     "  --test                  send one message to each, and say how it answered (exit status 3 if one did not take it):\n"
     "                          of SITE, or of [nopsnap] and every section that names somebody\n"
     "  --failed UNIT           tell that this service of the site has failed, unless its run has told that itself; for the\n"
     "                          service that `schedule` writes beside it\n\n"
     "Examples:\n"
     "  nopsnap notify --test\n"
     "  nopsnap notify shop --test\n",
     cli_notify},
    {NULL, NULL, NULL, NULL, NULL},
};

const struct command *cli_command_find(const char *name)
{
    for (const struct command *c = cli_commands; c->name; c++)
        if (!strcmp(c->name, name))
            return c;
    return NULL;
}

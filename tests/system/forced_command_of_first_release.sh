#!/bin/sh
# clockwork-forced-command: what the scraper's key may do on a cluster, and nothing more.
#
# Install it on the host that the scraper logs in to, owned by root and writable by root alone,
# then put the scraper's public key in the login user's ~/.ssh/authorized_keys, on one line:
#
#     restrict,command="/usr/local/sbin/clockwork-forced-command" ssh-ed25519 AAAA... clockwork
#
# sshd then runs this script in place of whatever the key's holder asks for. It runs exactly
#
#     env SLURM_TIME_FORMAT=%FT%T%zSEAL SCONTROL -a show job
#     env SLURM_TIME_FORMAT=%FT%T%zSEAL SCONTROL -a show node
#     SQUEUE -h -a -t all -o %A:%U
#     env SLURM_TIME_FORMAT=%FT%T%z SACCT -n -P -X -o JobIDRaw,Submit,State,ExitCode,Start,End -j IDS
#
# with single spaces and nothing before or after. SEAL is 0 to 12 ASCII letters and digits, IDS digits and commas.
# SCONTROL, SQUEUE and SACCT are the bare names of Slurm's programs, looked up in PATH, or absolute
# paths of theirs below /usr, /opt or /cm: places where other users cannot put a program of their own.
# Anything else, a login without a command included, is refused: one line on standard error, exit
# status 126. What was asked for is never given to a shell: it is compared, cut into pieces, and
# each piece is checked before it becomes one argument.
#
# Where Slurm is not found by itself, set its configuration or its folder here:
#
# export SLURM_CONF=/opt/slurm/etc/slurm.conf
# export PATH=/opt/slurm/bin:/usr/bin:/bin
#
# The last two are asked for only where the configuration says so. It needs a POSIX shell and no
# other program than Slurm's.

set -u
LC_ALL=C # The ranges below are ASCII's, whatever locale the client asked for.
export LC_ALL

refuse() {
    printf 'clockwork-forced-command: refused: %s\n' "$1" >&2
    exit 126
}

# Is $1 the bare name $2, or a safe absolute path that ends in it?
check_program() {
    case $1 in
    "$2") return ;;
    *[!A-Za-z0-9._/-]* | */./* | */../*) ;;
    /usr/*/"$2" | /opt/*/"$2" | /cm/*/"$2") return ;;
    esac
    refuse "the program must be $2, or its full path below /usr, /opt or /cm"
}

check_seal() {
    case $1 in
    *[!A-Za-z0-9]* | ?????????????*)
        refuse 'after SLURM_TIME_FORMAT=%FT%T%z only 0 to 12 letters and digits may stand'
        ;;
    esac
}

command=${SSH_ORIGINAL_COMMAND-}
prefix='env SLURM_TIME_FORMAT=%FT%T%z'
squeue_options=' -h -a -t all -o %A:%U'
sacct_options=' -n -P -X -o JobIDRaw,Submit,State,ExitCode,Start,End -j '

# The patterns of case match the whole text, newlines included: no line of it can hide.
case $command in
"$prefix"*' -a show job' | "$prefix"*' -a show node')
    rest=${command#"$prefix"}
    seal=${rest%% *}
    rest=${rest#* }
    table=${rest##* }
    program=${rest%" -a show $table"}
    check_seal "$seal"
    check_program "$program" scontrol
    SLURM_TIME_FORMAT="%FT%T%z$seal"
    export SLURM_TIME_FORMAT
    exec "$program" -a show "$table"
    ;;
"$prefix "*"$sacct_options"*)
    rest=${command#"$prefix "}
    program=${rest%%"$sacct_options"*}
    ids=${rest#*"$sacct_options"}
    check_program "$program" sacct
    case $ids in
    '' | *[!0-9,]*) refuse 'after -j only digits and commas may stand' ;;
    esac
    SLURM_TIME_FORMAT='%FT%T%z'
    export SLURM_TIME_FORMAT
    exec "$program" -n -P -X -o JobIDRaw,Submit,State,ExitCode,Start,End -j "$ids"
    ;;
*"$squeue_options")
    program=${command%"$squeue_options"}
    check_program "$program" squeue
    exec "$program" -h -a -t all -o %A:%U
    ;;
'')
    refuse 'no command was given; this key cannot log in'
    ;;
*)
    refuse 'this key runs Clockwork'\''s scontrol, squeue and sacct commands alone'
    ;;
esac

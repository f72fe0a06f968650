# attendee.bash - sudo の使える一般ユーザー attendee を、その場だけのものとして作る

# /etc のファイルにコピーを重ねるので、ホストの /etc は変わらず、突然終わっても何も
# 残らない。マウント名前空間の中で呼ぶ: make_attendee DIR UID GID HOME
make_attendee() {
    local dir=$1 uid=$2 gid=$3 home=$4 file
    # 同じ名前や番号の人がホストにいれば、いないことにする。ps や ls や sudo は、初めに
    # 見つけた行を使う。入っていたグループからも外す
    awk -F: -v id="$uid" '$1 != "attendee" && $3 != id' /etc/passwd >"$dir/passwd"
    awk -F: -v OFS=: -v id="$gid" '$1 !~ /^(attendee|helpers)$/ && $3 != id && $3 != 4713 {
        $4 = "," $4 ","
        gsub(/,attendee,/, ",", $4)
        gsub(/^,|,$/, "", $4)
        print
    }' /etc/group >"$dir/group"
    # 一般ユーザーには読めない
    install -m 640 /dev/null "$dir/shadow"
    grep -v '^attendee:' /etc/shadow >"$dir/shadow"
    echo "attendee:x:$uid:$gid::$home:/bin/sh" >>"$dir/passwd"
    echo "attendee:x:$gid:" >>"$dir/group"
    echo 'helpers:x:4713:attendee' >>"$dir/group"
    echo 'attendee:*:19000:0:99999:7:::' >>"$dir/shadow"
    printf '127.0.0.1 localhost\n127.0.1.1 %s\n' "$(hostname)" >"$dir/hosts"
    # adduser(8) が割り当てる id の範囲。uidmap のないホストには、ファイルがない
    echo 'attendee:100000:65536' | tee "$dir/subuid" >"$dir/subgid"
    # sudoers(5) は、最後に合った行を使う
    install -m 440 /dev/null "$dir/sudoers"
    [ ! -e /etc/sudoers ] || cat /etc/sudoers - >"$dir/sudoers" <<<'attendee ALL=(ALL) NOPASSWD: ALL'
    for file in passwd group shadow hosts subuid subgid sudoers; do
        [ ! -e "/etc/$file" ] || mount --bind "$dir/$file" "/etc/$file"
    done
}

# shellcheck shell=bash
# vm-*.sh が共有する部品。単独では何もしない（source して使う）。
#
# 仮想マシンは QEMU のユーザーモードネットワークで動かすので、root も
# ブリッジも /dev/kvm も要らない。ディスクは snapshot=on で開く。書き込みは
# 名前のない一時ファイルへ行き、QEMU が終われば消える。

vm_here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd -P)
vm_top=$(cd "$vm_here/../.." && pwd -P)
vm_build=$vm_top/build/vm
vm_name=$(basename "$0" .sh)
# tests/ は、名前空間の中の /etc/passwd に attendee を足す。別の名前にする。
vm_user=learner

# 教材の動作に関係なく、TCG では重いだけの防御や監視を切る。
vm_cmdline=(
    mitigations=off nowatchdog audit=0 random.trust_cpu=on
    rcupdate.rcu_expedited=1
    # 番地がいつも同じなら、TCG は翻訳したコードを使い回せる。fork+exec が
    # 19 ms から 6 ms になった。ゼロ埋めや検査も TCG では重い。
    norandmaps nokaslr init_on_alloc=0 hardened_usercopy=off
    randomize_kstack_offset=off
)

VM_PID=
VM_RUN=
VM_PORT=

# 1 行目は英語（検索できる）、2 行目は日本語のヒント。
vm_die() {
    printf '%s: %s\n' "$vm_name" "$1" >&2
    shift
    if [ $# -gt 0 ]; then
        printf '  ヒント: %s\n' "$@" >&2
    fi
    exit 1
}

vm_note() {
    printf '# %s\n' "$*" >&2
}

vm_need() {
    local tool
    for tool in "$@"; do
        # /usr/sbin は一般ユーザーの PATH にないことがある（mke2fs など）。
        PATH=$PATH:/usr/sbin:/sbin command -v "$tool" >/dev/null ||
            vm_die "$tool: command not found" \
                "make setup-dev で、仮想マシンに要る道具がまとめて入ります。"
    done
}

# SUITE は名前だけでなくパスの一部にもなる。知らない名前は先に断る。
vm_check_suite() {
    case $1 in
    trixie | bookworm) ;;
    *) vm_die "SUITE=$1: unknown Debian release" \
        "SUITE=trixie（Debian 13）か SUITE=bookworm（Debian 12）です。" ;;
    esac
}

# 残り時間（秒）。0 以下でも timeout(1) が「無制限」と取らないよう 1 を返す。
vm_left() {
    local left=$((VM_DEADLINE - SECONDS))
    echo $((left > 1 ? left : 1))
}

# 全体の時間切れ。待つ所はどこも vm_left で縛るので、別の番犬は要らない。
vm_set_deadline() {
    case $1 in
    '' | *[!0-9]* | 0*) vm_die "VM_TIMEOUT=$1: not a number of seconds" \
        "正の整数を秒で指定します。例: VM_TIMEOUT=3600 make vm-test" ;;
    esac
    VM_DEADLINE=$((SECONDS + $1))
}

vm_work_dir() {
    mkdir -p "$vm_build"
    # build/ が .gitignore に無くても、像やログがコミットに紛れないように。
    [ -e "$vm_build/.gitignore" ] || echo '*' >"$vm_build/.gitignore"
    # ssh の ControlPath は 108 バイトまで。深い所に clone されても収まるよう
    # 実行ごとの置き場は TMPDIR に作る。名前が毎回違うので同時に走れる。
    VM_RUN=$(mktemp -d "${TMPDIR:-/tmp}/ct-vm.XXXXXX")
}

vm_accel_args() {
    case ${VM_ACCEL:-tcg} in
    # TCG では新しい CPU の機能（AVX、5 段のページ表など）がかえって重い。
    # fork+exec は max で 60 ms、Nehalem で 30 ms だった。
    tcg) VM_ACCEL_ARGS=(-accel "tcg,thread=multi,tb-size=512" -cpu Nehalem) ;;
    kvm) VM_ACCEL_ARGS=(-accel kvm -cpu host) ;;
    *) vm_die "VM_ACCEL=$VM_ACCEL: unknown accelerator" \
        "VM_ACCEL=tcg（どこでも動く）か VM_ACCEL=kvm（速い）です。" ;;
    esac
}

# vm_start IMAGE DISK [QEMU-OPTION...]: 起動して、すぐ戻る。
vm_start() {
    local image=$1 disk=$2 try
    shift 2
    local cmdline=(
        root=/dev/vda rw console=ttyS0 quiet net.ifnames=0
        systemd.show_status=no systemd.firstboot=off "${vm_cmdline[@]}"
        # 例: VM_APPEND=systemd.unified_cgroup_hierarchy=0（Debian 12 で v1）
        "${VM_APPEND-}"
    )
    local args=(
        "${VM_ACCEL_ARGS[@]}" -machine q35 -smp "${VM_CPUS:-2}"
        -m "${VM_MEMORY:-2048}" -nodefaults -no-user-config
        -display none -monitor none -no-reboot
        -serial "file:$VM_RUN/console.log"
        -kernel "$image/vmlinuz" -initrd "$image/initrd"
        -append "${cmdline[*]}"
        -drive "file=$disk,format=raw,if=virtio,snapshot=on,cache=unsafe"
        "$@"
    )
    # 空いているポートを先に調べても、開くまでに他人に取られうる。
    # 試しに開かせて、だめなら別の番号でやり直すほうが確実。
    for try in 1 2 3 4 5 6 7 8 9 10; do
        VM_PORT=$((20000 + (RANDOM * 32768 + RANDOM) % 40000))
        # setsid: 端末の Ctrl-C を QEMU に届かせない（ゲストに届けたい）。
        # pdeathsig: この script が SIGKILL されても QEMU を残さない。
        setsid setpriv --pdeathsig KILL -- qemu-system-x86_64 "${args[@]}" \
            -netdev "user,id=n,hostfwd=tcp:127.0.0.1:$VM_PORT-:22" \
            -device virtio-net-pci,netdev=n \
            </dev/null >"$VM_RUN/qemu.log" 2>&1 &
        VM_PID=$!
        VM_STARTED=$SECONDS
        while kill -0 "$VM_PID" 2>/dev/null; do
            # 転送の設定は、シリアルのファイルを開く前後に終わる。カーネルの
            # 最初の 1 文字を待たず、1 秒生きていればポートは取れている。
            [ $((SECONDS - VM_STARTED)) -lt 2 ] || break 2
            sleep 0.1
        done
        wait "$VM_PID" || true
        VM_PID=
        grep -q 'host forwarding' "$VM_RUN/qemu.log" || break
        vm_note "port $VM_PORT is taken, trying another (try $try)"
    done
    if [ -z "$VM_PID" ]; then
        cat "$VM_RUN/qemu.log" >&2
        vm_die 'qemu-system-x86_64: could not start' \
            "VM_ACCEL=kvm なら /dev/kvm の権限を、他は上のメッセージを見ます。"
    fi
    VM_SSH=(
        -F /dev/null -p "$VM_PORT" -i "$image/id" -o IdentitiesOnly=yes
        -o BatchMode=yes -o ConnectTimeout=60 -o LogLevel=ERROR
        -o "UserKnownHostsFile=$image/known_hosts" -o HostKeyAlias=vm
        -o StrictHostKeyChecking=yes
        # 鍵交換は TCG で 1 秒かかる。2 回目からは最初の接続に相乗りする。
        -o ControlMaster=auto -o "ControlPath=$VM_RUN/ssh" -o ControlPersist=yes
        -o ServerAliveInterval=30 -o ServerAliveCountMax=10
    )
}

# ゲストの ssh.service が動き出すと、シリアルに VM-READY と出る（image.sh）。
# ssh を繰り返し試すより速く、起動の邪魔にもならない。
vm_wait() {
    local limit=$((SECONDS + ${VM_BOOT_TIMEOUT:-600}))
    while ! grep -qs VM-READY "$VM_RUN/console.log"; do
        kill -0 "$VM_PID" 2>/dev/null || vm_die 'the VM ended while booting' \
            "シリアルの記録（console.log）の終わりを見てください。"
        if grep -qsE 'Kernel panic|emergency mode' "$VM_RUN/console.log"; then
            vm_die 'the VM could not boot' \
                "シリアルの記録（console.log）の終わりを見てください。"
        fi
        if [ $SECONDS -ge $limit ] || [ $SECONDS -ge "$VM_DEADLINE" ]; then
            vm_die 'timed out waiting for the VM to boot' \
                "遅い計算機では VM_BOOT_TIMEOUT=1800 を付けます。" \
                "VM_ACCEL=kvm を付けていたら、外して試します。"
        fi
        sleep 0.2
    done
    # 最初の接続が ControlMaster になる。以後は速い。標準出力を閉じるのは、
    # 裏に残る接続が呼び出し側のパイプを開いたままにしないため。
    timeout "$(vm_left)" ssh "${VM_SSH[@]}" "$vm_user@127.0.0.1" true \
        </dev/null >/dev/null 2>&1 || vm_die 'ssh to the VM failed' \
        "シリアルの記録（console.log）の終わりを見てください。"
    vm_note "boot: $((SECONDS - VM_STARTED)) s (${VM_ACCEL:-tcg})"
}

# vm_ssh [SSH-OPTION...] COMMAND: 時間の上限付き。標準入力は呼び出し側が渡す。
vm_ssh() {
    timeout --foreground "$(vm_left)" \
        ssh "${VM_SSH[@]}" "$vm_user@127.0.0.1" "$@"
}

# 何度呼んでもよい。自分が起こした PID だけを終わらせる。
vm_stop() {
    local i
    [ -z "$VM_PORT" ] || [ ! -S "$VM_RUN/ssh" ] ||
        timeout 5 ssh "${VM_SSH[@]}" -O exit 127.0.0.1 >/dev/null 2>&1 || true
    if [ -n "$VM_PID" ]; then
        # snapshot なので正しい shutdown は要らない。
        kill "$VM_PID" 2>/dev/null || true
        for i in {1..50}; do
            kill -0 "$VM_PID" 2>/dev/null || break
            [ "$i" -lt 50 ] || kill -KILL "$VM_PID" 2>/dev/null || true
            sleep 0.1
        done
        wait "$VM_PID" 2>/dev/null || true
        VM_PID=
    fi
}

# vm_clone DIR: HEAD の写しを作る。git の操作が中でもできるよう .git も付く。
# push を使うのは、持ち主が違うリポジトリ（sudo で呼ばれた時など）でも
# safe.directory をこの 1 回だけ許せば済むため。shallow な clone からも写せる。
vm_clone() {
    local bare=$VM_RUN/bare.git
    vm_git rev-parse -q --verify HEAD >/dev/null ||
        vm_die 'the repository has no commit to test' \
            "git commit してから、もう一度実行します。"
    git init -q --bare -b main "$bare"
    git -C "$bare" config receive.shallowUpdate true
    vm_git push -q --no-verify "$bare" HEAD:refs/heads/main
    git clone -q "$bare" "$1"
    git -C "$1" remote remove origin
    rm -rf "$bare"
}

# vm_overlay DIR: HEAD の写しに、手元の変更（追加や削除も）を重ねる。
vm_overlay() {
    vm_git ls-files -z --cached --others --exclude-standard |
        (cd "$vm_top" && while IFS= read -r -d '' file; do
            if [ -e "$file" ] || [ -L "$file" ]; then
                printf '%s\0' "$file"
            else
                rm -f "$1/$file"
            fi
        done) |
        tar -C "$vm_top" --null --no-recursion -cf - -T - | tar -C "$1" -xf -
}

vm_git() {
    git -c "safe.directory=*" -C "$vm_top" "$@"
}

# vm_send DIR: 写しをゲストのホームに repo として置く。
vm_send() {
    tar -C "$1" -cf - . |
        vm_ssh 'mkdir -p repo && tar -C repo -xf - --no-same-owner' ||
        vm_die 'could not copy the repository into the VM' \
            "シリアルの記録（console.log）を見ます。"
}

# vm_totals LOG: 試験の出力から、成功、失敗、skip の数。
vm_totals() {
    sed 's/\r$//; s/\x1b\[[0-9;]*[A-Za-z]//g' "$1" | awk '
        match($0, /[0-9]+ passed, [0-9]+ failed/) {
            split(substr($0, RSTART), n, /[^0-9]+/)
            if ($0 ~ /^([^ ]+: )?[0-9]+ passed/) {
                # 行の初めなら、そこまでのまとめ
                P += n[1]; F += n[2]; S += n[3]
                p = f = s = 0
            } else {
                p += n[1]; f += n[2]; s += n[3]
            }
        }
        # まとめの前に終わった（時間切れなど）なら、そこまでの行を足す。
        END { print P + p, F + f, S + s }'
}

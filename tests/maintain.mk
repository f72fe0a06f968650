# 直す人、足す人のターゲット。GNUmakefile が読み込む。使い方は CONTRIBUTING.ja.md

# --- 9 つのプログラム ----------------------------------------------------------
carry: ## 変更を後のステップにも入れる (STEP=03)
	@tests/chain/carry.sh "$(or $(STEP),$(error STEP=NN is missing))"
check-chain: ## 9 つのプログラムのつながりを調べる
	@tests/chain/check-chain.sh

# --- 書式と静的解析 ------------------------------------------------------------
# 1 つの道具だけでもよい: make lint-shellcheck。何があるかは tests/lint.mk にある
LINT = $(MAKE) -f tests/lint.mk -k -j$(shell nproc) --output-sync=target --no-print-directory
lint: ## 書式と静的解析
	@$(LINT) $@
lint-docs: $(NODE) ## 文章、用語、リンク、図 (DOCS=ファイル... で、選んだものだけ)
	@$(LINT) $@
lint-%:
	@$(LINT) $@

# --- 壊して試す ----------------------------------------------------------------
test-negative: all ## どのテストも、1 つ前のステップでは失敗することを確かめる
	@$(SUDO) $(SCRIPTS)/test.sh --negative
test-suites: all solutions step09-oci ## 選んだスイートだけ (SUITES="09 cgroup-versions")
	@$(SUDO) $(SCRIPTS)/test.sh $(SUITES)
test-engines: step09-oci ## podman、Docker、containerd が step09-oci を動かせるか
	@$(SUDO) $(SCRIPTS)/test.sh engines
test-rootfs: all ## rootfs の、時間のかかる作り方のテスト (debian, image)
	@$(SUDO) $(SCRIPTS)/test.sh rootfs-slow
test-faults: all ## システムコールを 1 つずつ失敗させ、結果を表にする
	@$(SUDO) tests/campaign/faults.sh
test-death: all step09-oci ## あらゆる瞬間に終わらせ、何も残らないことを表にする
	@$(SUDO) tests/campaign/death.sh
	@$(SUDO) tests/campaign/oci-death.sh
test-load: all ## 200 個同時と、1,000 回続けて
	@$(SUDO) $(SCRIPTS)/test.sh load-slow

# --- 手引きとスライド ----------------------------------------------------------
# DOC=05 で、1 つだけにできる
test-docs: ## 手引きとスライドに書いたコマンドを、書いたとおりに動かす (DOC=05)
	@$(SUDO) tests/docs/run-docs.py $(DOC)
test-ablations: all step09-oci ## 「この 1 行を消すと」を、本当に消して確かめる (DOC=05)
	@$(SUDO) tests/docs/run-docs.py --ablations $(DOC)
docs-update: ## 手引きとスライドの出力を、実際のものに書き直す (DOC=05)
	@$(SUDO) tests/docs/run-docs.py --update $(DOC)
test-docs-tools: all $(NODE) ## スライドと手引きを調べる道具が、誤りを見つけるか
	@$(SUDO) $(SCRIPTS)/test.sh docs-slow
	@node --test slides/tool/test/*.test.mjs
slides-check: slides ## 作ったスライドを、本物のブラウザーで調べる
	@node slides/tool/check-pictures.mjs
	@node slides/tool/check.mjs $(DECKS)
site-check: build/site ## make site の作ったページを、受講者として試す (SITE=--all で「もっと」も)
	@node slides/tool/check-site.mjs build/site $(SITE)
build/site:
	$(MAKE) site
slides-accept: $(NODE) ## 変わった差分の説明を、読み直したことにする (DOC=05)
	@node slides/tool/build.mjs --accept $(DOC)
$(NODE): slides/tool/package-lock.json
	@npm ci --prefix slides/tool --loglevel=error && touch $@
	$(call give_back,$@)

# --- 仮想マシン ----------------------------------------------------------------
vm-test: ## 使い捨ての Debian 13 で、README の 2 行とすべてのテストを動かす
	@tests/vm/vm.py test
# 手元が cgroup v1 でも、中は v2。手元では動かせないものだけを選ぶ
vm-ci: ## CI のための vm-test: README の 1 行目、cgroup v2 と systemd のテスト、手引き
	@VM_TEST='make setup test-suites SUITES="vm-systemd 09 cgroup-versions"' \
	    VM_ALSO='make setup-run-docs test-docs DOC="README 09"' tests/vm/vm.py test
vm-arm64: ## arm64 の Debian 13 で、9 つを 1 回ずつ動かす
	@echo 'VM=1 make test-suites SUITES=matrix' | ARCH=arm64 tests/vm/vm.py shell
vm-arm64-test: ## arm64 の Debian 13 で、すべてのテストを動かす (1 時間ほど)
	@echo "$${VM_TEST:-VM=1 make test}" | ARCH=arm64 tests/vm/vm.py shell
# ライブラリのヘッダーは、どの CPU でも同じ。実行ファイルにはしない
ARM64_HEADERS := build/arm64/include
arm64: ## arm64 でも警告なしにコンパイルできることを確かめる
	@mkdir -p $(ARM64_HEADERS)/sys
	@ln -sfn /usr/include/libmnl $(ARM64_HEADERS)/libmnl
	@ln -sf /usr/include/sys/capability.h $(ARM64_HEADERS)/sys
	@ln -sfn /usr/include/cjson $(ARM64_HEADERS)/cjson
	@ln -sf /usr/include/seccomp.h /usr/include/seccomp-syscalls.h $(ARM64_HEADERS)
	@$(MAKE) --no-print-directory CC=aarch64-linux-gnu-gcc OUT=build/arm64 CI=1 \
	    CPPFLAGS='-isystem $(ARM64_HEADERS)' $(patsubst shared/%.c,build/arm64/%.o, \
	    $(wildcard shared/*.c)) $(STEPS:%=build/arm64/step%.o) \
	    $(ANSWERS:$(OUT)/%=build/arm64/%.o) $(OCI:$(OUT)/%=build/arm64/%)

# --- まとめて ------------------------------------------------------------------
ci: ## CI と同じことをする (.ci/run)
	@bash .ci/run
nightly: ## CI には長すぎるものを動かし、1 つの表にする (.ci/nightly)
	@bash .ci/nightly $(ONLY)

# --- 道具 ----------------------------------------------------------------------
setup-run-docs: ## 手引きのコマンドを動かす道具だけを入れる
	@sh $(SCRIPTS)/setup.sh run-docs
setup-dev: ## 静的解析、計測、仮想マシンのパッケージも入れる
	@sh $(SCRIPTS)/setup.sh dev

.PHONY: carry check-chain lint lint-docs test-negative test-suites test-engines test-rootfs test-faults \
    test-death test-load test-docs test-ablations docs-update test-docs-tools slides-check site-check \
    slides-accept vm-test vm-ci vm-arm64 vm-arm64-test arm64 setup-run-docs setup-dev ci nightly

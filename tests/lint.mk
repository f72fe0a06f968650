# make lint と make lint-docs の中身。1 つの道具が 1 つのターゲット。
# maintain.mk が、並べて、1 つがだめでも終わりまで (-k)、出力を混ぜずに動かす
#
# 調べるのは、git add したファイルと、まだしていないファイル
FILES := $(wildcard $(shell git ls-files --cached --others --exclude-standard))
define no_files
no files to check: git ls-files names none
  ヒント: 調べるファイルは git に聞くので、clone したものの中で使います
endef
$(if $(FILES),,$(error $(no_files)))
C      := $(filter %.c %.h,$(FILES))
SHELLS := $(filter %.sh %.bash %.bats .ci/%,$(FILES))
COMMENTED := $(filter-out slides/tool/test/%,$C $(SHELLS) $(filter %.mjs %.py %.mk %.gp GNUmakefile,$(FILES)))
DOCS   := $(filter-out slides/tool/%,$(filter %.md slides/pictures/%.svg,$(FILES)))

# 足りないコマンドをすべて言う: $(call need,コマンド...,入れ方)
need = @! LC_ALL=C type $1 2>&1 | grep 'not found' >&2 || { echo '  ヒント: $2' >&2; exit 1; }

lint: lint-clang-tidy lint-shellcheck lint-cppcheck lint-shfmt lint-clang-format lint-width \
    $(if $(filter tests/chain/requirements.sh,$(FILES)),lint-requirements) \
    $(if $(filter machines/check.py,$(FILES)),lint-machines)
# 書きかけの start.c は、使わない関数や、まだない値を疑われる
lint-clang-tidy: $(patsubst %,lint-clang-tidy/%,$(filter-out %/start.c,$(filter %.c,$C)))
lint-shellcheck: $(SHELLS:%=lint-shellcheck/%)
lint-docs: lint-prose lint-links lint-pictures lint-words lint-breaks

# 始める前に、1 度だけ調べる
lint-tools:
	$(call need,clang-tidy shellcheck cppcheck shfmt clang-format,make setup-dev)

# 14 は、1 度に 2 つのファイルを渡すと va_list を誤って疑う。だから 1 つずつ渡す
lint-clang-tidy/%: | lint-tools
	@log=$$(clang-tidy --quiet $* -- -std=gnu11 -Wall -Wextra 2>&1) || { echo "$$log"; exit 1; }

# SC2030, SC2031: テストはどれもサブシェルで動く。ほかのテストとは関係ない
# SC2164: bats では、cd に失敗すればそのテストが失敗する (set -e)
lint-shellcheck/%: | lint-tools
	@shellcheck -x -P SCRIPTDIR $(if $(filter %.bats,$*),-e SC2030 -e SC2031 -e SC2164) $*

lint-shfmt: | lint-tools
	@shfmt -i 4 -d $(SHELLS) || { echo '  ヒント: shfmt -i 4 -w で直せます' >&2; exit 1; }
lint-clang-format: | lint-tools
	@clang-format --dry-run -Werror $C || { echo '  ヒント: clang-format -i で直せます' >&2; exit 1; }
# どのテストにも、make check の見せる要件がある
lint-requirements:
	@tests/chain/requirements.sh
lint-width:
	@tests/chain/check-width.sh $C

CPPCHECK := --quiet --error-exitcode=1 --std=c11 --library=posix \
    --enable=warning,performance,portability '--template={file}:{line}: {id}: {message}'
# die() が戻らないことを、_Noreturn からは読み取れない
CPPCHECK += '-D_Noreturn=__attribute__((noreturn))'
# ほかの CPU は #error になるファイルがある
CPPCHECK += -D__x86_64__
# 同じことを、cli.c の中の定義 (_Noreturn がない) では見落とす
CPPCHECK += --suppress=arrayIndexOutOfBoundsCond:shared/cli.c
# glibc の readdir は、DIR が別ならスレッドから呼べる。readdir(3)
CPPCHECK += --suppress=readdirCalled
# 子 (1 つのスレッド) だけが呼ぶ
CPPCHECK += --suppress=fgetpwentCalled
# 読まないヘッダー (cjson) のマクロ
CPPCHECK += '-DcJSON_ArrayForEach(e,a)=while((e=next(a)))'
# MAP_ANONYMOUS の fd は -1 で、失敗は NULL でない。mmap(2)
CPPCHECK += --suppress=invalidFunctionArg:rootfs/demo/memhog.c
CPPCHECK += --suppress=nullPointerOutOfMemory:rootfs/demo/memhog.c
# 2.11 からの、枝が多いので途中までしか見ないという知らせ
CPPCHECK += --suppress=normalCheckLevelMaxBranches
lint-cppcheck: | lint-tools
	@cppcheck $(CPPCHECK) $(filter-out %/start.c,$C)

# cloud-init は、入れると次の起動で動くので、開くだけにする。要るのはスキーマ
CLOUD_INIT := build/cloud-init/schema-cloud-config-v1.json
lint-machines: $(CLOUD_INIT) | lint-tools
	@/usr/bin/python3 machines/check.py $<
$(CLOUD_INIT):
	@mkdir -p $(@D)
	@cd $(@D) && apt-get -q download cloud-init >log 2>&1 && dpkg-deb --fsys-tarfile *.deb | \
	    tar -xO --wildcards '*/$(@F)' >part && rm *.deb && mv part $(@F) || { cat log >&2; \
	    echo '  ヒント: cloud-init のスキーマを取ります。sudo apt-get update も試してください' >&2; exit 1; }

# --- 文章 ----------------------------------------------------------------------
lint-prose:
	@slides/tool/lint-prose.sh $(filter %.md,$(DOCS)) || \
	    { echo '  ヒント: 用語は prh.yml に、文の規則は .textlintrc.yml にあります' >&2; exit 1; }
lint-links:
	@slides/tool/node_modules/.bin/remark --rc-path slides/tool/.remarkrc.json --frail --quiet \
	    --no-stdout --no-color $(filter %.md,$(DOCS))
# README の図は、HTML より厳しく、XML として読まれる
lint-pictures:
	$(call need,xmllint,make setup-docs)
	@$(if $(filter %.svg,$(DOCS)),xmllint --noout $(filter %.svg,$(DOCS)))
# コードのコメントと図も文章。同じ語で書く
lint-words:
	@node slides/tool/check-words.mjs $(COMMENTED) $(filter %.svg,$(FILES)) || \
	    { echo '  ヒント: 語は slides/tool/words.yml にあります' >&2; exit 1; }
# 語の途中で折らない
lint-breaks:
	@node slides/tool/check-breaks.mjs $(COMMENTED) || \
	    { echo '  ヒント: 、か。のあと、または文節の切れ目で折ります' >&2; exit 1; }

# What a person or a CI runs. `make test` is the whole suite, kernel tests included.
#
# Bounds of the long targets are variables: make campaign PACKETS=10000000

CARGO ?= cargo
CASES ?= 2000
PACKETS ?= 5000000
POLICIES ?= 5000
# The first seed of those policies: others each time. What fails says its own.
FIRST ?= $(shell date +%s)
SITES ?= 3000
RANDOM_POLICIES ?= 10000
KERNEL_POLICIES ?= 300
FOREIGN ?= 1000000
KEY_LINES ?= 1000
LISTS ?= 10000
FUZZ ?= 200000
STREAMS ?= 10000
CONNECTIONS ?= 100000
REKEY_MIB ?= 1200
AWS ?= tests/aws/fixtures
AWS_POLICIES ?= 10000
TRIALS ?= 200
SEED ?= 20261121
SUDO := $(shell [ "$$(id -u)" = 0 ] || command -v sudo)

.PHONY: test tools lint bench bench-tools mutants campaign soak fuzz corpus

# Kernel tests that cannot run fail here: they may not pass by absence.
# INSTA_UPDATE=no: a snapshot that differs or is new fails; nothing is written.
# The last builds fwc without its features, where a policy with people must be refused.
# One seed for the random laws: what CI says of a commit it says again. `make campaign` draws anew.
test: tools
	PROPTEST_RNG_SEED=$(SEED) FWC_REQUIRE_KERNEL=1 FWC_REQUIRE_TOOLS=1 INSTA_UPDATE=no $(CARGO) test --lib --bins --tests
	INSTA_UPDATE=no $(CARGO) test --doc
	$(CARGO) test --no-default-features --test suite without_the_feature

# Installs what the suite needs and the machine lacks; below target/ it unpacks other releases' nft, and puts Ansible, SSH
# clients of others (paramiko, asyncssh, ssh-audit), and botocore, moto and cfn-lint into environments of their own.
tools:
	@missing=""; \
	command -v nft >/dev/null || [ -x /usr/sbin/nft ] || missing="$$missing nftables"; \
	command -v ip >/dev/null || [ -x /usr/sbin/ip ] || missing="$$missing iproute2"; \
	command -v nmap >/dev/null || missing="$$missing nmap"; \
	[ -x /usr/sbin/sshd ] || missing="$$missing openssh-server"; \
	command -v ssh >/dev/null || missing="$$missing openssh-client"; \
	command -v dbclient >/dev/null || missing="$$missing dropbear-bin"; \
	command -v puttygen >/dev/null || missing="$$missing putty-tools"; \
	command -v openssl >/dev/null || missing="$$missing openssl"; \
	command -v systemd-analyze >/dev/null || missing="$$missing systemd"; \
	command -v sysctl >/dev/null || [ -x /usr/sbin/sysctl ] || missing="$$missing procps"; \
	python3 -c "import ensurepip, venv" 2>/dev/null || missing="$$missing python3-venv"; \
	if [ -z "$$missing" ]; then echo "tools: nft, ip, nmap, sshd, ssh, dbclient, puttygen, openssl, systemd-analyze, sysctl and python3 are here"; exit 0; fi; \
	if ! command -v apt-get >/dev/null; then echo "tools: please install$$missing"; exit 1; fi; \
	if [ "$$(id -u)" != 0 ] && [ -z "$(SUDO)" ]; then echo "tools: not root, no sudo: please install$$missing"; exit 1; fi; \
	echo "tools: installing$$missing with apt-get"; \
	$(SUDO) apt-get update -qq && \
	$(SUDO) env DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends $$missing
	@tests/tools/ansible.sh || echo "tools: ansible-core could not be fetched (PyPI): tests/apply will fail"
	@tests/tools/fetch-nft.sh bullseye bookworm trixie || \
	echo "tools: nft 0.9.8, 1.0.6 and 1.1 could not all be fetched (needs apt-get, dpkg-deb, the network): tests/nft_versions.rs will fail"
	@tests/tools/ssh-clients.sh || echo "tools: paramiko, asyncssh and ssh-audit could not be fetched (PyPI): tests/serve will fail"
	@tests/tools/fetch-aws.sh || \
	echo "tools: botocore, moto and cfn-lint could not be installed (needs python3 with venv, PyPI): tests/aws/peers.rs will fail"

lint:
	$(CARGO) fmt --check
	$(CARGO) clippy --all-targets -- -D warnings
	@if $(CARGO) deny --version >/dev/null 2>&1; then $(CARGO) deny check; \
	else echo "lint: cargo-deny is not here: licences and advisories were not checked"; fi

# The tables of docs/performance.md: programs in benches/, and the tests marked #[ignore = "bench"], which need the worlds
# of their tests; docs/plots has what grows as pictures. FWC_BENCH=10000 runs the rows with that in their names.
bench:
	FWC_PLOTS=docs/plots $(CARGO) bench --bench compile --bench prove --bench kernel
	$(CARGO) test --release --test aws --test apply --test serve -- --ignored bench --nocapture --test-threads 1

# What benches of compiling and proving compare with, unpacked into target/bench-tools: z3 and ferm of Debian, aerleon of PyPI.
# A bench says which it did without. (The kernel bench has peers of its own: benches/kernel/peers.sh.)
bench-tools:
	@tests/tools/fetch-bench.sh

# Rulesets broken on purpose: the prover must refute each, and the kernel sees nothing in each equivalent.
mutants: tools
	FWC_REQUIRE_KERNEL=1 FWC_MUTANTS=all INSTA_UPDATE=no $(CARGO) test --release mutant -- --nocapture

# Many packets of every kind through policy and rulesets, and the laws on many random policies.
campaign: tools
	FWC_PACKETS=$(PACKETS) FWC_RANDOM_POLICIES=$(RANDOM_POLICIES) $(CARGO) test --release --test campaign -- --nocapture
	FWC_REQUIRE_KERNEL=1 FWC_KERNEL_POLICIES=$(KERNEL_POLICIES) $(CARGO) test --release --test kernel_campaign -- random_policies --nocapture
	FWC_REQUIRE_KERNEL=1 FWC_FOREIGN=$(FOREIGN) $(CARGO) test --release --test kernel_campaign -- foreign --nocapture
	FWC_POLICIES=$(POLICIES) FWC_FIRST=$(FIRST) $(CARGO) test --release --test compiler_laws -- --nocapture
	FWC_SITES=$(SITES) $(CARGO) test --release --test composition -- --nocapture
	PROPTEST_CASES=$(CASES) $(CARGO) test --release --test net_laws
	FWC_AWS_POLICIES=$(AWS_POLICIES) $(CARGO) test --release --test aws policies:: -- --nocapture
	FWC_LISTS=$(LISTS) $(CARGO) test --release --test questions engines -- --nocapture
	FWC_REQUIRE_KERNEL=1 FWC_KEY_LINES=$(KEY_LINES) $(CARGO) test --release --test bastion generated -- --nocapture
	FWC_REQUIRE_KERNEL=1 FWC_STREAMS=$(STREAMS) FWC_CONNECTIONS=$(CONNECTIONS) FWC_MIB=$(REKEY_MIB) $(CARGO) test --release --test serve -- \
	malformed come_and_go new_keys --nocapture --test-threads 1
	FWC_REQUIRE_KERNEL=1 FWC_TRIALS=$(TRIALS) FWC_FLEET=all $(CARGO) test --release --test apply -- --nocapture

# What takes its time: a jump server's connection until it wants a new key (an hour), or ends because nothing is taken of it.
soak: tools
	FWC_REQUIRE_KERNEL=1 $(CARGO) test --release --test serve -- --ignored soak_ --nocapture

# Mangled text into what reads text.
fuzz:
	FWC_FUZZ=$(FUZZ) $(CARGO) test --release --test fuzz_policy --test fuzz_nft --test fuzz_lists --test fuzz_aws -- --nocapture

# Every file below a folder of recorded EC2 answers, whatever its name: read, written back, read again, nothing dropped; a line a file.
# `whole` is the same both ways, `skipped` no answer that is looked at, `refused` an answer EC2 could not have given; WRONG
# is a fault of fwc, and fails.
corpus:
	FWC_AWS="$(abspath $(AWS))" $(CARGO) test --release --test aws -- --ignored corpus --nocapture

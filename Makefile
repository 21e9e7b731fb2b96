# Each target is one script; ARGS goes to it, as in: make test ARGS="-k wire"
.PHONY: setup check test demo bench

setup:
	@scripts/setup $(ARGS)

check:
	@scripts/check

test:
	@scripts/test $(ARGS)

demo:
	@scripts/demo $(ARGS) $(DEMO_ARGS)

bench:
	@scripts/bench $(ARGS)

# Each target is one script; ARGS goes to it, as in: make test ARGS="-k wire"
.PHONY: setup check test demo demo-recommendation bench

setup:
	@scripts/setup $(ARGS)

check:
	@scripts/check

test:
	@scripts/test $(ARGS)

demo:
	@scripts/demo $(ARGS) $(DEMO_ARGS)

# Recommendation on MovieLens-100K, which it fetches
demo-recommendation:
	@scripts/demo-recommendation $(ARGS)

bench:
	@scripts/bench $(ARGS)

/* SPDX-License-Identifier: Apache-2.0 */
#include "client/bench_load.h"

#include <math.h>

/* Draws before an account is searched for in order. */
#define DRAWS_MAX 64

struct zipf {
	uint32_t count;
	double skew;
	double alpha;
	double zeta;
	double eta;
};

static double unit(struct client_random *random)
{
	return (double)(client_random_next(random) >> 11) * 0x1p-53;
}

static struct zipf zipf_of(uint32_t count, double skew)
{
	struct zipf zipf = {.count = count, .skew = skew};
	double zeta_2 = 0;

	for (uint32_t i = 1; i <= count; i++) {
		zipf.zeta += 1.0 / pow(i, skew);
		if (i == 2)
			zeta_2 = zipf.zeta;
	}
	zipf.alpha = 1.0 / (1.0 - skew);
	zipf.eta = (1.0 - pow(2.0 / count, 1.0 - skew)) / (1.0 - zeta_2 / zipf.zeta);
	return zipf;
}

static uint32_t draw(const struct zipf *zipf, struct client_random *random)
{
	const double u = unit(random);

	if (zipf->skew <= 0)
		return (uint32_t)(u * zipf->count);
	const double uz = u * zipf->zeta;
	if (uz < 1.0)
		return 0;
	if (uz < 1.0 + pow(0.5, zipf->skew))
		return 1;
	const double rank = zipf->count * pow(zipf->eta * u - zipf->eta + 1.0, zipf->alpha);
	return rank < zipf->count ? (uint32_t)rank : zipf->count - 1;
}

static bool fits(const struct load_shape *shape, uint32_t debit, uint32_t credit, bool crossing)
{
	return credit != debit && (shape->shard[debit] != shape->shard[credit]) == crossing;
}

static uint32_t credit_for(const struct load_shape *shape, const struct zipf *zipf, uint32_t debit,
			   struct client_random *random)
{
	const bool any = shape->cross < 0;
	const bool crossing = !any && unit(random) < shape->cross;
	uint32_t credit = debit;

	for (unsigned i = 0; i < DRAWS_MAX; i++) {
		credit = draw(zipf, random);
		if (any ? credit != debit : fits(shape, debit, credit, crossing))
			return credit;
	}
	for (uint32_t i = 0; i < shape->accounts; i++) {
		credit = credit + 1 < shape->accounts ? credit + 1 : 0;
		if (any ? credit != debit : fits(shape, debit, credit, crossing))
			return credit;
	}
	return debit + 1 < shape->accounts ? debit + 1 : 0;
}

double load_draw(struct load_pair *pairs, const struct load_shape *shape,
		 struct client_random *random)
{
	const struct zipf zipf = zipf_of(shape->accounts, shape->skew);
	uint32_t crossing = 0;

	for (uint32_t i = 0; i < LOAD_PAIRS; i++) {
		pairs[i].debit = draw(&zipf, random);
		pairs[i].credit = credit_for(shape, &zipf, pairs[i].debit, random);
		crossing += shape->shard[pairs[i].debit] != shape->shard[pairs[i].credit];
	}
	return (double)crossing / LOAD_PAIRS;
}

package okidhttp

import "context"

// Erase forgets a subject: the attempts, what they granted, what was kept, and
// what waits for a callback. The gate closes at once, on every replica.
//
// Nothing brings it back: webhooks and references of before belong to no attempt
// any more, and whoever works on one at this moment cannot commit. Only the
// subject's own next Start, or a claim not used before, makes a new record. That a
// claim was used, and the hash of whose it was, is remembered for ten years. Erasing
// whom the store does not know is no error; an error means that the store could not
// do it.
func (k *Kit) Erase(ctx context.Context, subject string) error {
	ctx, cancel := withTimeout(ctx, storeTimeout)
	defer cancel()
	hash := hashSubject(subject)
	if err := k.cfg.Store.Delete(ctx, hash.key()); err != nil {
		return storeError(ctx, err)
	}
	return k.unlist(ctx, hash)
}

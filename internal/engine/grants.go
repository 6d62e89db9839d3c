package engine

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/okidkit/okidkit/internal/attempt"
)

const (
	// grantShards is over how many locks the remembered grants are spread.
	grantShards = 64
	// maxGrants bounds how many there are in one process: some 30 MB.
	maxGrants = 100_000
)

// grants remembers for a moment whose gate is open, and of nobody that it is shut. What this process
// writes, and what it hears of when it reads a record for another reason, counts at once.
type grants struct {
	keep   time.Duration
	shards [grantShards]grantShard
}

type grantShard struct {
	mu      sync.Mutex
	changes uint64 // how often one of these records has, or may have, changed
	of      map[attempt.SubjectHash]remembered
}

// remembered is a grant as it was read.
type remembered struct {
	grant   *attempt.StoredGrant
	version uint64
	now     time.Time // by the store's clock
	asked   time.Time // by ours, before the store was asked
}

// newGrants returns nil, which remembers nothing, if keep is zero.
func newGrants(keep time.Duration) *grants {
	if keep == 0 {
		return nil
	}
	return &grants{keep: keep}
}

func (g *grants) shard(of attempt.SubjectHash) *grantShard {
	return &g.shards[int(of[0])%grantShards]
}

// recall returns a grant that was read a moment ago, and what time it is by the store's clock. If
// there is none it returns nil, and what remember needs to know.
func (g *grants) recall(of attempt.SubjectHash, at time.Time) (grant *attempt.StoredGrant, now time.Time, changes uint64) {
	s := g.shard(of)
	s.mu.Lock()
	defer s.mu.Unlock()
	r, ok := s.of[of]
	age := at.Sub(r.asked)
	if !ok || age < 0 || age >= g.keep {
		delete(s.of, of)
		return nil, now, s.changes
	}
	c := *r.grant
	c.AgeOver = slices.Clip(c.AgeOver) // which will grow as the subject does
	return &c, r.now.Add(age), s.changes
}

// remember keeps a grant, unless a record has changed since recall, which may have been this one.
func (g *grants) remember(of attempt.SubjectHash, r remembered, changes uint64) {
	s := g.shard(of)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.changes != changes {
		return
	}
	if s.of == nil {
		s.of = map[attempt.SubjectHash]remembered{}
	}
	if len(s.of) >= maxGrants/grantShards {
		for other := range s.of {
			delete(s.of, other)
			break
		}
	}
	s.of[of] = r
}

// forget is for whoever has, or may have, changed a record.
func (g *grants) forget(of attempt.SubjectHash) {
	if g == nil {
		return
	}
	s := g.shard(of)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.changes++
	delete(s.of, of)
}

// seen is for whoever has read a record, which may have changed.
func (g *grants) seen(of attempt.SubjectHash, version uint64) {
	if g == nil {
		return
	}
	s := g.shard(of)
	s.mu.Lock()
	defer s.mu.Unlock()
	if r, ok := s.of[of]; ok && r.version != version {
		s.changes++
		delete(s.of, of)
	}
}

// Admit is Grant for the gate, which may be answered from what was read a moment ago.
func (e *Engine) Admit(ctx context.Context, of attempt.SubjectHash) (granted *attempt.Grant, now time.Time, err error) {
	if e.grants == nil {
		return e.Grant(ctx, of)
	}
	asked := e.cfg.Now()
	g, now, changes := e.grants.recall(of, asked)
	if granted := e.grant(g, of, now); granted != nil {
		return granted, now, nil
	}
	g, version, now, err := e.readGrant(ctx, of)
	if g == nil {
		return nil, now, err
	}
	kept := *g
	g.AgeOver = slices.Clip(g.AgeOver)
	if granted = e.grant(g, of, now); granted != nil {
		e.grants.remember(of, remembered{&kept, version, now, asked}, changes)
	}
	return granted, now, nil
}

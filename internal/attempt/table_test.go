package attempt

import (
	"cmp"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/okidkit/okidkit/identity"
)

var (
	rows    = []state{created, started, review, lapsed, expired, failed, refused, verified, verifying, revoked}
	columns = []identity.Status{identity.Started, identity.Review, identity.Verified, identity.Failed, identity.Expired}
)

// cells are what a table says of a state, word by word.
func (t table) cells(row state) (cells []string) {
	for _, word := range columns {
		cell := map[action]string{ignore: "", become: string(word), ask: "ask", revoke: string(revoked)}[t[row][word]]
		cells = append(cells, cell)
	}
	return cells
}

// rendered are the tables in Markdown, as they stand in docs/attempts.md.
func rendered() (webhook, answer string) {
	var w, a strings.Builder
	w.WriteString("| stands | started | review | verified | failed | expired | (clock) |\n| --- | --- | --- | --- | --- | --- | --- |\n")
	a.WriteString("| stands | started | review | verified | failed | expired |\n| --- | --- | --- | --- | --- | --- |\n")
	line := func(b *strings.Builder, row state, cells ...string) {
		b.WriteString(strings.ReplaceAll(fmt.Sprintf("| %s | %s |\n", row, strings.Join(cells, " | ")), "|  ", "| "))
	}
	for _, row := range rows {
		clock := ""
		if lapses[row] {
			clock = string(lapsed)
		}
		line(&w, row, append(onWebhook.cells(row), clock)...)
		if onAnswer[row] != nil {
			line(&a, row, onAnswer.cells(row)...)
		}
	}
	return w.String(), a.String()
}

// The documentation shows the tables as they are.
func TestTablesAreDocumented(t *testing.T) {
	page, err := os.ReadFile("../../docs/attempts.md")
	require.NoError(t, err)
	webhook, answer := rendered()
	assert.Contains(t, string(page), webhook)
	assert.Contains(t, string(page), answer)
	for row := range onWebhook {
		assert.Contains(t, rows, row)
	}
}

// Each state has its row, and next follows the tables: a webhook's words are looked up in
// one, and the provider's answers in the other where that differs.
func TestNextFollowsTheTables(t *testing.T) {
	attempts := map[state]Attempt{
		lapsed:    {Status: identity.Expired, Lapsed: true},
		refused:   {Status: identity.Failed, Reason: ReasonPolicy, Refused: true},
		verifying: {Status: identity.Started, Outbox: []Entry{{Status: identity.Verified}}},
	}
	for _, row := range rows {
		a, ok := attempts[row]
		if !ok {
			a = Attempt{Status: identity.Status(row)}
		}
		for _, word := range append(slices.Clone(columns), identity.Created, identity.Revoked, "", "no such word") {
			if row == verifying && word == identity.Verified {
				continue // what waits is said again
			}
			for src, want := range map[source]action{fromWebhook: onWebhook[row][word], fromFetch: cmp.Or(onAnswer[row][word], onWebhook[row][word])} {
				next, asks := a.next(word, src)
				assert.Equal(t, want == ask, asks, "%s and %s", row, word)
				switch want {
				case become:
					assert.Equal(t, word, next, "%s and %s", row, word)
				case revoke:
					assert.Equal(t, identity.Revoked, next, "%s and %s", row, word)
				default:
					if src == fromWebhook || onAnswer[row][word] == ignore {
						assert.Empty(t, next, "%s and %s", row, word)
					}
				}
			}
		}
		next, asks := a.next(identity.Expired, fromClock)
		assert.False(t, asks)
		assert.Equal(t, lapses[row], next == identity.Expired, row)
	}
}

func TestNextOfWhatWaits(t *testing.T) {
	waiting := func() *Attempt {
		return &Attempt{Status: identity.Started, Outbox: []Entry{{Status: identity.Verified}}}
	}
	contradicted := waiting()
	contradicted.Outbox = append(contradicted.Outbox, Entry{Status: identity.Failed})
	gaveUp := waiting()
	gaveUp.giveUp(&gaveUp.Outbox[0], false, time.Time{})
	misinformed := &Attempt{Status: identity.Failed, Letters: []Letter{{Status: identity.Verified, Aware: true}}}
	for _, tt := range []struct {
		name string
		a    *Attempt
		word identity.Status
		src  source
		next identity.Status
		asks bool
	}{
		{"failed", waiting(), identity.Failed, fromWebhook, "", true},
		{"review fetched", waiting(), identity.Review, fromFetch, "", true},
		{"review", waiting(), identity.Review, fromWebhook, "", false},
		{"answered", waiting(), identity.Failed, fromAnswer, identity.Failed, false},
		{"does not lapse", waiting(), identity.Expired, fromClock, "", false},
		{"contradicted", contradicted, identity.Verified, fromWebhook, "", true},
		{"contradicted, answered", contradicted, identity.Verified, fromAnswer, identity.Verified, false},
		{"given up, failed", gaveUp, identity.Failed, fromWebhook, identity.Failed, false},
		{"given up, lapses", gaveUp, identity.Expired, fromClock, identity.Expired, false},
		{"the host believes in it", misinformed, identity.Expired, fromWebhook, "", true},
	} {
		next, asks := tt.a.next(tt.word, tt.src)
		assert.Equal(t, tt.next, next, tt.name)
		assert.Equal(t, tt.asks, asks, tt.name)
	}
}

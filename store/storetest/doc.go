// Package storetest proves that a [store.Store] does what the interface says.
// Run it from a test of the implementation:
//
//	func TestStore(t *testing.T) {
//		storetest.Run(t, func(t *testing.T) storetest.Harness {
//			clock := newFakeClock()
//			return storetest.Harness{
//				Store:   mystore.New(mystore.WithClock(clock.Now)),
//				Advance: clock.Advance,
//			}
//		})
//	}
//
// A store whose clock cannot be moved, such as a real server, leaves Advance
// out. The cases about time then take short real time, by the store's own clock.
package storetest

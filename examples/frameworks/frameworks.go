// Package frameworks mounts the kit, and a page that it gates, in routers and frameworks that are
// not http.ServeMux. It is a module of its own, so that they stay out of the kit's.
//
// In each, the kit is mounted at /verify, and /members is for those who are verified. hello is the
// host's page, which reads the grant from the request's context.
package frameworks

import (
	"fmt"
	"net/http"

	"github.com/gin-gonic/gin"
	"github.com/go-chi/chi/v5"
	"github.com/gofiber/fiber/v2"
	"github.com/gofiber/fiber/v2/middleware/adaptor"
	"github.com/gorilla/csrf"
	"github.com/gorilla/mux"
	"github.com/justinas/nosurf"
	"github.com/labstack/echo/v4"

	"github.com/okidkit/okidkit/okidhttp"
)

// hello is a page of the host's.
func hello(w http.ResponseWriter, r *http.Request) {
	grant, _ := okidhttp.GrantFrom(r.Context())
	fmt.Fprintf(w, "verified by %s", grant.Provider)
}

// ServeMux is the standard library's.
func ServeMux(kit *okidhttp.Kit) http.Handler {
	m := http.NewServeMux()
	m.Handle("/verify/", kit)
	m.Handle("GET /members", kit.RequireVerified(http.HandlerFunc(hello)))
	return m
}

// Chi: Mount takes the kit as it is, and With the gate as a middleware.
func Chi(kit *okidhttp.Kit) http.Handler {
	r := chi.NewRouter()
	r.Mount("/verify", kit)
	r.With(gate(kit)).Get("/members", hello)
	return r
}

// gate is the kit's gate in the form of a middleware.
func gate(kit *okidhttp.Kit, requirements ...okidhttp.Requirement) func(http.Handler) http.Handler {
	return func(next http.Handler) http.Handler { return kit.RequireVerified(next, requirements...) }
}

// Gorilla: a prefix for the kit, and a subrouter for what is gated.
func Gorilla(kit *okidhttp.Kit) http.Handler {
	r := mux.NewRouter()
	r.PathPrefix("/verify").Handler(kit)
	members := r.PathPrefix("/members").Subrouter()
	members.Use(gate(kit))
	members.HandleFunc("", hello).Methods(http.MethodGet)
	return r
}

// Gin: the kit behind gin.WrapH, and the gate as a middleware that goes on only if the gate does.
func Gin(kit *okidhttp.Kit) http.Handler {
	gin.SetMode(gin.ReleaseMode)
	r := gin.New()
	r.Any("/verify/*route", gin.WrapH(kit))
	r.GET("/members", ginGate(kit), func(c *gin.Context) { hello(c.Writer, c.Request) })
	return r
}

func ginGate(kit *okidhttp.Kit, requirements ...okidhttp.Requirement) gin.HandlerFunc {
	return func(c *gin.Context) {
		passed := false
		kit.RequireVerified(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			passed = true
			c.Request = r // with the grant in its context
			c.Next()
		}), requirements...).ServeHTTP(c.Writer, c.Request)
		if !passed {
			c.Abort()
		}
	}
}

// Echo: the kit behind echo.WrapHandler, and the gate behind echo.WrapMiddleware.
func Echo(kit *okidhttp.Kit) http.Handler {
	e := echo.New()
	e.Any("/verify/*", echo.WrapHandler(kit))
	e.GET("/members", func(c echo.Context) error {
		hello(c.Response(), c.Request())
		return nil
	}, echo.WrapMiddleware(gate(kit)))
	return e
}

// Fiber does not use net/http. Its adaptor makes requests of it, so the kit works; the live status
// is not streamed, since the adaptor waits for the whole answer, and clients poll instead.
func Fiber(kit *okidhttp.Kit) *fiber.App {
	app := fiber.New(fiber.Config{BodyLimit: 1 << 20})
	app.All("/verify/*", adaptor.HTTPHandler(kit))
	app.Get("/members", adaptor.HTTPHandler(kit.RequireVerified(http.HandlerFunc(hello))))
	return app
}

// exempt reports whether a request must pass without a token of CSRF middleware's: the webhook is
// authenticated by its signature, and the others check by themselves where they come from.
func exempt(r *http.Request) bool {
	switch r.URL.Path {
	case "/verify/webhook", "/verify/start", "/verify/claim":
		return true
	}
	return false
}

// Nosurf is CSRF middleware that wants a token in every POST.
func Nosurf(kit *okidhttp.Kit) http.Handler {
	protected := nosurf.New(ServeMux(kit))
	protected.ExemptFunc(exempt)
	return protected
}

// GorillaCSRF is another one.
func GorillaCSRF(kit *okidhttp.Kit, key []byte) http.Handler {
	protected := csrf.Protect(key)(ServeMux(kit))
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if exempt(r) {
			r = csrf.UnsafeSkipCheck(r)
		}
		protected.ServeHTTP(w, r)
	})
}

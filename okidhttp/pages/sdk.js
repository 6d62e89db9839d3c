(function () {
  "use strict";
  var begun = false;
  function show(state) {
    document.querySelectorAll("[data-when]").forEach(function (each) { each.hidden = each.dataset.when !== state; });
  }
  function trouble() { if (!begun) show("trouble"); }
  show("wait");
  if (!navigator.mediaDevices) document.querySelectorAll("[data-without-camera]").forEach(function (each) { each.hidden = false; });
  // Who comes back by the browser's own means finds the page as it was left.
  window.addEventListener("pageshow", function (event) { if (event.persisted) location.reload(); });
  setTimeout(trouble, 9000);
  import({{.ClientURL}}).then(function (client) {
    return client.resume({{.Started}}, {
      onOpen: function () { begun = true; show("open"); },
      onSending: function () { show("wait"); },
      onUnsent: function (again) {
        document.querySelectorAll("[data-resend]").forEach(function (each) { each.onclick = again; });
        show("unsent");
      }
    });
  }).catch(trouble);
})();

(function () {
  "use strict";
  {{template "follow.js"}}
  var review = {{.Review}}, nextURL = {{.NextURL}};
  follow({{.StatusURL}}, function (status, final) {
    if (final || !status || status === "review" && !review) location.replace(nextURL);
  });
  setTimeout(function () {
    var slow = document.getElementById("slow");
    if (slow) slow.hidden = false;
  }, 120000);
})();

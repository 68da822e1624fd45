// What is copied of a block of commands: the commands, without their prompts and answers.
document.addEventListener(
  "click",
  (event) => {
    const button = event.target.closest("[data-clipboard-target]");
    const block = button && button.closest(".language-console");
    if (!block) return;
    const commands = block.querySelector("code").textContent.match(/^\$ (?:.*\\\n)*.*$/gm) || [];
    button.setAttribute("data-clipboard-text", commands.map((command) => command.slice(2)).join("\n"));
  },
  true,
);

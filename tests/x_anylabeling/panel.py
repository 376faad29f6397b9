"""Runs X-AnyLabeling's own panel, without a window, against this service, and checks what it offers to a person.

Run it in the environment that `record.py` describes:

    QT_QPA_PLATFORM=offscreen venv-x/bin/python tests/x_anylabeling/panel.py http://127.0.0.1:8000 KEY
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path
from unittest.mock import MagicMock, patch

import anylabeling.config
from anylabeling.services.auto_labeling import model
from anylabeling.services.auto_labeling.remote_server import RemoteServer
from anylabeling.views.labeling.widgets.auto_labeling.auto_labeling import AutoLabelingWidget
from PyQt6.QtWidgets import QApplication

SHOWN = {
    "button_add_point",
    "button_remove_point",
    "button_add_rect",
    "button_clear",
    "button_finish_object",
    "mask_fineness_slider",
    "mask_fineness_value_label",
    "remote_task_select_combobox",
}


def main() -> None:
    address, key = sys.argv[1], sys.argv[2] if len(sys.argv) > 2 else ""
    application = QApplication([])
    with tempfile.TemporaryDirectory() as folder:
        own = Path(folder) / "settings.yaml"
        own.write_text("{}")
        anylabeling.config.current_config_file = str(own)
        window = MagicMock()
        window._config = {"shortcuts": {}}
        panel = AutoLabelingWidget(window)
        settings = {"remote_server_settings": {"server_url": f"{address}/x-anylabeling", "api_key": key}}
        config = {"type": "remote_server", "name": "remote", "display_name": "Remote-Server", "timeout": 180}
        with patch.object(model, "get_config", return_value=settings):
            server = RemoteServer(config, print)
        panel.model_manager.loaded_model_config = {**config, "model": server}
        panel.hide_labeling_widgets()
        panel.update_remote_server_mode_ui()
        tasks = panel.remote_task_select_combobox
        assert [str(tasks.itemData(index)) for index in range(tasks.count())] == ["polygon", "rectangle", "rotation"]
        for chosen in range(panel.remote_server_select_combobox.count()):
            panel.remote_server_select_combobox.setCurrentIndex(chosen)
            shown = {name for name in panel.supported_remote_widgets if not getattr(panel, name).isHidden()}
            assert shown == SHOWN, shown
            assert server.replace is False  # an error does not remove what is drawn
            assert server.epsilon_factor == 0.001
            assert server.current_task == "polygon"
            assert server.get_batch_processing_mode() is None
            sys.stdout.write(f"{server.current_model_id} is offered as it should be\n")
        tasks.setCurrentIndex(2)
        assert server.current_task == "rotation"
    application.quit()


if __name__ == "__main__":
    main()
